"""Two people with one folder, each in a napari of their own."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import annotator
import pytest
from annotator import Orders
from PIL import Image
from segmenting import LONG, TinyModels, begun

from napari_glmedsa.project import AnnotationProject, image_id
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui.segment_widget import SegmentWidget

pytestmark = [pytest.mark.ui, pytest.mark.e2e]

SIZE = (120, 160)


@pytest.fixture
def photo():
    return draw_lesion(seed=0, size=SIZE).image


@pytest.fixture
def project(tmp_path):
    return AnnotationProject.create(tmp_path / "clinic")


@pytest.fixture
def berta(registry, project, photo, tmp_path):
    """Start Berta's napari at the photograph."""
    folder, root = tmp_path / "photographs", tmp_path / "of berta"
    folder.mkdir()
    Image.fromarray(photo).save(folder / "mole.png")
    shutil.copytree(registry.root, root)
    RecentProjects(root).save_into(project.root)
    log, file = tmp_path / "log.jsonl", tmp_path / "orders.json"
    Orders(
        "project",
        folder=str(folder),
        root=str(root),
        log=str(log),
        seed=4,
        deeds=10_000,
        name="Berta",
    ).write(file)
    process = subprocess.Popen([sys.executable, annotator.__file__, file])

    def said(what: str) -> list[dict]:
        text = log.read_text() if log.exists() else ""
        whole = [line for line in text.splitlines(keepends=True) if line[-1:] == "\n"]
        lines = [json.loads(line) for line in whole]
        assert [line for line in lines if line["what"] == "failed"] == []
        return [line for line in lines if line["what"] == what]

    yield SimpleNamespace(process=process, said=said, file=folder / "mole.png")
    process.kill()
    process.wait()


@pytest.fixture
def dock(make_napari_viewer_proxy, registry, project, qtbot):
    """The dock of Ada, in this process."""
    RecentProjects(registry.root).save_into(project.root)
    RecentProjects(registry.root).set_annotator("Ada")
    viewer = make_napari_viewer_proxy()
    widget = SegmentWidget(viewer, TinyModels(registry))
    viewer.window.add_dock_widget(widget)
    yield SimpleNamespace(viewer=viewer, widget=widget)
    widget.session.close()


@pytest.fixture
def wait(qtbot):
    return lambda condition: qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)


def accept(dock, wait, at) -> None:
    """Outline a lesion and accept it."""
    dock.viewer.layers["lesion"].add(at)
    wait(lambda: dock.widget.session.state is SessionState.READY)
    wait(lambda: not dock.widget._bench.is_waiting)
    dock.widget.act("accept")


def test_who_is_at_a_photograph_is_seen_and_replaced_knowingly(
    berta, dock, project, photo, wait
):
    image = image_id(photo)
    wait(lambda: len(berta.said("did")) > 5)
    dock.viewer.open(berta.file, plugin="napari")
    link, form = dock.widget._project, dock.widget.form
    wait(lambda: dock.widget._work.holder)
    assert form.project_status.value.startswith("In work: Berta on ")
    assert "last heard of just now" in form.project_status.value
    assert form.take_over_button.native.isVisibleTo(form.native)

    n_deeds = len(berta.said("did"))
    accept(dock, wait, (60.0, 80.0))
    wait(lambda: len(berta.said("did")) > n_deeds + 3)  # she does not even notice
    assert link.is_behind
    assert "Ada" not in accepted_by(project, image)

    form.take_over_button.native.click()
    wait(lambda: begun(dock, project))
    wait(lambda: link.has_question or not link.is_behind)
    form.replace_button.native.click()
    wait(lambda: "Ada" in accepted_by(project, image))
    wait(lambda: berta.said("lost"))
    assert berta.said("lost")[0]["words"].startswith("In work: Ada on ")
    assert "Ada" in accepted_by(project, image)
    steps = [step.name for step in project.journal(image).read().history.steps]
    mine = [step.name for step in dock.widget._bench.episode.history.steps]
    assert steps == mine
    assert project.check() == []


def test_whoever_was_killed_has_nothing_and_her_work_is_gone_on_with(
    berta, dock, project, wait
):
    wait(lambda: len(berta.said("did")) > 5)
    berta.process.kill()
    berta.process.wait()
    last = berta.said("did")[-1]["state"]
    dock.viewer.open(berta.file, plugin="napari")
    wait(lambda: begun(dock, project))
    history = dock.widget._bench.episode.history
    assert abs(history.position - last["position"]) <= 1
    assert "Berta" not in dock.widget.form.project_status.value


def accepted_by(project, image) -> set[str]:
    """Return the names of those who have accepted an outline of an image."""
    if not project.is_annotated(image):
        return set()
    return {one.annotator for one in project.objects(image)}
