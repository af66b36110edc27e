"""Whatever somebody writes into a project's files, it is read or refused, and told."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_glmedsa.calibration import Calibration, keep_calibration
from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.export import Request, export
from napari_glmedsa.project import AnnotationProject, Provenance
from napari_glmedsa.project.annotations import encode_label_map
from napari_glmedsa.project.listing import list_images
from napari_glmedsa.samples import draw_lesion
from napari_glmedsa.worklist import Uncertainty, Worklist

NONSENSE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-2, 2), max_size=3),
    st.lists(st.text(max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)
BYTES = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(
        [b"[" * 100_000, b'{"a": 1e999}', b"\xff\xfe{}", b"null", b"9" * 5000]
    ),
)

PNG = b"\x89PNG\r\n\x1a\n"
OTHER = encode_label_map(np.full((5, 7), 300, dtype=np.uint16))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A project that has everything a project can have."""
    project = AnnotationProject.create(tmp_path_factory.mktemp("whole") / "moles")
    box = (1.0, 2.0, 30.0, 40.0)
    for seed in range(4):
        lesion = draw_lesion(seed, (32, 40))
        image = project.add_image(lesion.image, source=f"{seed}.png", group=f"{seed}")
        if seed < 3:
            clicked = Provenance(point_coords=((3.0, 4.0),), point_labels=(1,), box=box)
            project.save_annotation(image, lesion.mask, [clicked])
        keep_calibration(project.root, image, Calibration(0.05, "given"))
    project.assign_splits()
    run = project.runs_folder / "20260101T000000Z-a"
    run.mkdir()
    plan = {"schema_version": 1, "images": {"train": project.annotated("train")}}
    (run / "config.json").write_text(json.dumps(plan))
    worklist = Worklist.open(project.root, spare=project.root)
    worklist.mark(worklist.entries()[0], "flagged", by="Ada")
    worklist.remember("model", worklist.entries()[0], Uncertainty(0.5, 0.5, 0.5))
    assert project.check() == []
    return project.root


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield how to get to every value of a JSON document."""
    yield path
    if isinstance(document, dict | list):
        items = document.items() if isinstance(document, dict) else enumerate(document)
        for key, value in items:
            yield from places(value, (*path, key))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


@st.composite
def edited(draw: st.DrawFn, text: bytes) -> bytes:
    """Draw what a file becomes under somebody's hands."""
    if text.startswith(PNG):
        return draw(st.sampled_from([b"", text[:60], text[:-20], PNG, OTHER]))
    if draw(st.integers(0, 3)) == 0:
        return draw(BYTES)
    document = json.loads(text)
    path = draw(st.sampled_from(list(places(document))))
    return json.dumps(replaced(document, path, draw(NONSENSE))).encode()


def contents(root: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(root): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_what_is_edited_into_nonsense_is_read_or_refused_and_check_says_which(
    whole, data
):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "moles"
        shutil.copytree(whole, root)
        known = AnnotationProject.open(root).annotated()
        files = sorted(path for path in root.rglob("*.*") if path.stat().st_size)
        files = [path for path in files if path.is_file()]
        file = data.draw(st.sampled_from(files), label="file")
        file.write_bytes(data.draw(edited(file.read_bytes()), label="content"))
        before = contents(root)
        try:
            project = AnnotationProject.open(root)
        except GLMedSAError:
            assert file.name == "project.json"
            return
        refusals = []
        for read in (
            list_images,
            AnnotationProject.splits,
            lambda it: [it.label_map(image) for image in it.annotated()],
            lambda it: export(it, Request("csv", Path(folder) / "table.csv")),
            lambda it: export(it, Request("overlay", Path(folder) / "pictures")),
            lambda it: Worklist.open(root, spare=root).entries(),
        ):
            try:
                read(project)
            except GLMedSAError as error:
                refusals.append(str(error))
        assert all(words.endswith(".") for words in refusals)
        if refusals or project.annotated() != known:
            assert project.check()
        assert contents(root) == before, "nothing is mended that nobody asked for"
