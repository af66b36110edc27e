"""napari is killed at random moments, and nothing that was done is lost.

Three kills by default; ``pytest tests/e2e/test_crash.py --kills 50`` for more.
"""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import annotator
import pytest
from annotator import Orders
from PIL import Image

from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.samples import draw_lesion

pytestmark = [pytest.mark.ui, pytest.mark.e2e]

PLACES = ("worklist", "project", "nowhere")
SIZE = (120, 160)
PATIENCE = 180.0
MANY = 10_000


class Clinic:
    """Photographs and models, and the napari that somebody works with and we kill."""

    def __init__(self, place: str, root: Path, models: Path, seed: int) -> None:
        self.place, self.root, self.models = place, root, models
        self.random = random.Random(seed)
        self.folder, self.log = root / "photographs", root / "log.jsonl"
        self.folder.mkdir(parents=True)
        for number in range(3):
            pixels = draw_lesion(seed=number, size=SIZE).image
            Image.fromarray(pixels).save(self.folder / f"mole{number}.png")
        if place == "project":
            project = AnnotationProject.create(root / "clinic")
            RecentProjects(models).save_into(project.root)
        self.expected, self.doing = {}, ""
        self._n_starts = 0

    @property
    def project(self) -> Path:
        """The folder of the project, if there is one."""
        inside = self.folder / "glmedsa_project"
        return self.root / "clinic" if self.place == "project" else inside

    def work_until_killed(self) -> list[dict]:
        """Start napari, kill it at a random moment, return what it said."""
        with self._start(deeds=MANY) as napari:
            if self.random.random() < 0.2:  # while it starts
                time.sleep(self.random.uniform(0, 6))
            else:
                said = self._wait_for(napari, "found")
                assert said["problem"] == ""
                time.sleep(self.random.uniform(0, 3))
            napari.kill()
        return self._note()

    def look(self) -> list[dict]:
        """Start napari, only to see what is there."""
        with self._start(deeds=0) as napari:
            self._wait_for(napari, "done")
            napari.wait(PATIENCE)
        return self._note()

    def _start(self, *, deeds: int) -> subprocess.Popen:
        self._n_starts += 1
        orders = Orders(
            self.place,
            folder=str(self.folder),
            root=str(self.models),
            log=str(self.log),
            seed=self.random.randrange(1 << 30),
            deeds=deeds,
            expected=self.expected,
            doing=self.doing,
        )
        file = self.root / f"orders{self._n_starts}.json"
        orders.write(file)
        self.log.write_bytes(b"")
        return subprocess.Popen([sys.executable, annotator.__file__, file])

    def _wait_for(self, napari: subprocess.Popen, what: str) -> dict:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in self._said():
                assert line["what"] != "failed", line["problem"]
                if line["what"] == what:
                    return line
            assert napari.poll() is None, "napari ended by itself"
            time.sleep(0.02)
        pytest.fail(f"napari has never said {what!r}")

    def _said(self) -> list[dict]:
        """Return the log's lines, without the one that is being written."""
        text = self.log.read_text()
        return [
            json.loads(line)
            for line in text.splitlines(keepends=True)
            if line[-1:] == "\n"
        ]

    def _note(self) -> list[dict]:
        """Remember what must be there at the next start."""
        said = self._said()
        for line in said:
            assert line.get("problem", "") == "", line["problem"]
            if line["what"] == "doing":
                self.doing = line["name"]
            elif line["what"] in ("found", "did"):
                self.expected, self.doing = line["state"], ""
        return said


@pytest.fixture
def kills(request) -> int:
    return request.config.getoption("--kills")


@pytest.mark.parametrize("place", PLACES)
def test_after_every_kill_all_is_as_it_was_after_the_last_deed(
    place, kills, registry, tmp_path
):
    clinic = Clinic(place, tmp_path / place, registry.root, seed=PLACES.index(place))
    said = [clinic.work_until_killed() for _ in range(-(-kills // len(PLACES)))]
    said.append(clinic.look())
    assert said[-1][-1]["what"] == "done"
    if place != "nowhere":
        assert AnnotationProject.open(clinic.project).check() == []
