"""An annotator who never rests: a real napari, worked at random until it is killed.

A program of its own, run by `e2e/test_crash.py` with the file of its `Orders`. What it
does stands in a log outside of it: a line before each deed, and one after it.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import mouse
import napari
import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from segmenting import TinyModels

from napari_glmedsa.inference import to_rgb_uint8
from napari_glmedsa.project import AnnotationProject, image_id
from napari_glmedsa.recent import RecentProjects
from napari_glmedsa.registry import ModelRegistry
from napari_glmedsa.session import SessionState
from napari_glmedsa.ui import convert
from napari_glmedsa.ui.photograph import Photograph
from napari_glmedsa.ui.segment_widget import SegmentWidget
from napari_glmedsa.ui.worklist_widget import WorklistWidget

Place = Literal["worklist", "project", "nowhere"]
"""Where masks go: a folder's project, one chosen by hand, or none."""

State = dict[str, Any]

PATIENCE = 60.0
SHIFT = Qt.KeyboardModifier.ShiftModifier


@dataclass
class Orders:
    """What to do.

    Attributes
    ----------
    place : Place
        Where masks go.
    folder : str
        Of the photographs; the first one is opened if nothing was open before.
    root : str
        Of the models, and of what is remembered over restarts.
    log : str
        Lines of JSON.
    seed : int
        Of what is done.
    deeds : int
        How many things to do after looking at what came back.
    expected : dict
        State of the photograph after the last deed that was completed, if any.
    doing : str
        The deed that was in flight when napari was killed; empty if none was.
    name : str
        Who is at work; empty for the user of the computer.
    """

    place: Place
    folder: str
    root: str
    log: str
    seed: int
    deeds: int
    expected: State = field(default_factory=dict)
    doing: str = ""
    name: str = ""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Orders:
        return cls(**json.loads(path.read_text()))


class Annotator:
    """Sits before the docks."""

    def __init__(self, orders: Orders) -> None:
        self.orders, self.random = orders, random.Random(orders.seed)
        self._log = os.open(orders.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.viewer = napari.Viewer()
        registry = TinyModels(ModelRegistry(Path(orders.root)))
        if orders.name:
            RecentProjects(registry.root).set_annotator(orders.name)
        self.worklist: WorklistWidget | None = None
        if orders.place == "worklist":
            self.worklist = WorklistWidget(self.viewer, registry)
            self.viewer.window.add_dock_widget(self.worklist, area="left")
        self.segment = SegmentWidget(self.viewer, registry)
        self.viewer.window.add_dock_widget(self.segment, area="right")

    def log(self, what: str, **details: Any) -> None:
        """Say something that outlives this program: one call, one whole line."""
        line = json.dumps({"what": what, **details}) + "\n"
        os.write(self._log, line.encode())

    def wait(self, condition: Callable[[], object], words: str) -> None:
        """Let napari work until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            QApplication.processEvents()
            time.sleep(0.002)
            if time.monotonic() > deadline:
                shown = self.segment.form.project_status.value
                raise TimeoutError(f"{words}; {shown}; {self._unrest()}")

    def settle(self) -> None:
        """Wait until nothing goes on any more."""
        for _ in range(3):  # what an answer brings is done one event later
            self.wait(lambda: not self._unrest(), "napari does not come to rest")
            QApplication.processEvents()

    def _unrest(self) -> list[str]:
        """Say what still goes on."""
        segment = self.segment
        queues = segment._jobs, segment._project_jobs
        restless = {
            "no photograph": segment._bench.episode is None,
            "not claimed": not (segment._work.is_ours or segment._work.holder),
            str(segment.session.state): segment.session.state is not SessionState.READY,
            "no answer": segment._bench.is_waiting,
            "jobs": any(queue._pending or queue._running for queue in queues),
        }
        return [what for what, is_so in restless.items() if is_so]

    def state(self) -> State:
        """Return all that must come back."""
        trio, episode = self.segment._trio, self.segment._bench.episode
        objects = trio.mask.objects.items()
        state = {
            "image": image_id(to_rgb_uint8(trio.pixels)),
            "mask": _digest(trio.mask.layer.data.tobytes()),
            "prompts": _digest(*convert.fingerprint(trio.prompts())),
            "object": trio.mask.object_id,
            "choice": trio.choice,
            "objects": {str(label): one.provenance.to_json() for label, one in objects},
            "steps": [step.name for step in episode.history.steps],
            "position": episode.history.position,
        }
        return json.loads(json.dumps(state))  # as it comes back from the log

    # What came back

    def return_to_work(self) -> None:
        """Have the photograph on the screen that was there before."""
        folder = Path(self.orders.folder)
        if self.worklist is not None:
            if not self.orders.expected:
                self.worklist.open_folder(folder)
                self.wait(lambda: self.worklist.worklist, "the folder is not listed")
                self.worklist.go(1)
        elif self.orders.expected:
            button = self.segment.form.continue_button
            self.wait(button.native.isVisible, "nothing is offered to go on with")
            button.native.click()
        else:
            first = sorted(folder.glob("*.png"))[0]
            self.viewer.open(first, plugin="napari")
        self.settle()

    def compare(self) -> None:
        """Say whether all is as it was, or one deed further."""
        found, expected = self.state(), self.orders.expected
        problem = ""
        if expected and found != expected:
            problem = self._compare_further(found, expected)
        if not problem and self.orders.place != "nowhere":
            problem = self._compare_project()
        self.log("found", state=found, problem=problem)

    def _compare_further(self, found: State, expected: State) -> str:
        """Take the deed back that was in flight: then all has to be as it was."""
        doing = self.orders.doing
        if not doing:
            return _difference(found, expected)
        if _without_redo(found) == _without_redo(expected):
            return ""  # taken back by somebody who looked, and was killed, too
        if doing == "next" and found["image"] != expected["image"]:
            return ""
        there, back = ("redo", "undo") if doing == "undo" else ("undo", "redo")
        self.segment.act(there)
        self.settle()
        before = self.state()
        self.segment.act(back)
        self.settle()
        if (again := self.state()) != found:
            return f"{there} and {back} after {doing}: {_difference(again, found)}"
        if doing not in ("undo", "redo"):  # a new step replaces what was taken back
            before, expected = _without_redo(before), _without_redo(expected)
        difference = _difference(before, expected)
        return f"before {doing}: {difference}" if difference else ""

    def _compare_project(self) -> str:
        """Whatever is accepted on the screen is in the project, and nothing else."""
        trio, link = self.segment._trio, self.segment._project
        shown, provenances = Photograph.of(
            trio, annotator=link.annotator
        ).accepted.numbered()
        project = AnnotationProject.open(link._desk.folder)
        image = image_id(to_rgb_uint8(trio.pixels))
        if not provenances:
            return "too much in the project" if project.is_annotated(image) else ""
        if not project.is_annotated(image):
            return "nothing in the project"
        same = np.array_equal(project.label_map(image), shown)
        return "" if same else "other outlines in the project"

    # What is done

    def work(self) -> None:
        """Do one thing after the other."""
        deeds = {
            self.click: 6,
            self.box: 1,
            self.scribble: 1,
            self.paint: 3,
            self.erase: 1,
            self.choose: 2,
            self.undo: 3,
            self.redo: 2,
            self.accept: 2,
            self.tidy: 2,
            self.delete: 1,
            self.reopen: 1,
            self.clear: 1,
        }
        if self.worklist is not None:
            deeds[self.next] = 1
        for _ in range(self.orders.deeds):
            (deed,) = self.random.choices(list(deeds), list(deeds.values()))
            self.log("doing", name=deed.__name__)
            deed()
            self.settle()
            if self.segment._work.holder is not None:
                self.log("lost", words=self.segment._work.words)
                return
            self.log("did", name=deed.__name__, state=self.state())

    def click(self) -> None:
        self.segment.act("use_clicks")
        held = self.random.choice([mouse.NO_KEY, mouse.NO_KEY, SHIFT])
        mouse.click(self.viewer, self._place(), held)

    def box(self) -> None:
        self.segment.act("use_box")
        mouse.drag(self.viewer, *(self._place() for _ in range(2)))

    def scribble(self) -> None:
        self.segment.act("use_scribble")
        mouse.drag(self.viewer, *(self._place() for _ in range(4)))

    def paint(self) -> None:
        self.segment.act("use_brush")
        self.segment._trio.mask.layer.brush_size = self.random.choice([3, 9, 21])
        mouse.drag(self.viewer, *(self._place() for _ in range(3)))

    def erase(self) -> None:
        self.segment.act("use_brush")
        self.segment._trio.mask.layer.mode = "erase"
        mouse.drag(self.viewer, *(self._place() for _ in range(3)))

    def choose(self) -> None:
        self.segment.act(f"choose_{self.random.randint(1, 3)}")

    def undo(self) -> None:
        self.segment.act("undo")

    def redo(self) -> None:
        self.segment.act("redo")

    def accept(self) -> None:
        self.segment.act("accept")

    def tidy(self) -> None:
        self.segment.act(
            self.random.choice(["fill_holes", "largest_piece", "smooth_outline"])
        )

    def delete(self) -> None:
        self.segment.act("delete")

    def reopen(self) -> None:
        self.segment.act("reopen")

    def clear(self) -> None:
        self.segment.act("clear")

    def next(self) -> None:
        before = self.segment._trio
        self.worklist.go(self.random.choice([1, -1]))
        self.settle()
        for _ in range(20):  # the photograph may be read from the drive first
            QApplication.processEvents()
            time.sleep(0.01)
            if self.segment._trio not in (None, before):
                break

    def _place(self) -> tuple[float, float]:
        height, width = self.segment._trio.mask.layer.data.shape
        return self.random.uniform(4, height - 5), self.random.uniform(4, width - 5)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _without_redo(state: State) -> State:
    """Leave out the steps that were taken back."""
    return {**state, "steps": state["steps"][: state["position"]]}


def _difference(found: State, expected: State) -> str:
    """Say in which fields two states differ, and how."""
    return "; ".join(
        f"{name}: {found[name]} instead of {expected[name]}"
        for name in found
        if found[name] != expected[name]
    )


def main(path: str) -> None:
    """Follow orders."""
    annotator = Annotator(Orders.read(Path(path)))
    try:
        annotator.return_to_work()
        annotator.compare()
        annotator.work()
    except Exception as error:
        annotator.log("failed", problem=f"{type(error).__name__}: {error}")
        raise
    annotator.log("done")


if __name__ == "__main__":
    main(sys.argv[1])
