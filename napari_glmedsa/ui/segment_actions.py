"""What the buttons, keys and commands of the Segment dock do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import napari.viewer
from magicgui.widgets import PushButton

from napari_glmedsa.ui.actions import SEGMENT, Action
from napari_glmedsa.ui.corrections import Corrections
from napari_glmedsa.ui.finishing import CLEAN_UPS
from napari_glmedsa.ui.keymap import KeyMap
from napari_glmedsa.ui.lesion_list import chosen_or_last
from napari_glmedsa.ui.mask_look import OPACITY_STEP, MaskLook
from napari_glmedsa.ui.segment_form import SegmentForm
from napari_glmedsa.ui.segment_view import CLICKING
from napari_glmedsa.ui.styles import BACKGROUND, LESION
from napari_glmedsa.ui.workbench import Workbench

_NO_PHOTOGRAPH = "There is no photograph to work on: open one first."
_NO_LESIONS = "There is no accepted lesion on this photograph."
_NO_OUTLINE = "There is no outline to accept yet: click on the lesion."
_NOTHING_TO_CLEAR = "There is nothing to clear: no lesion is in the making."
_NO_MASK = "There is no mask to look at yet: click on the lesion."


class SegmentActions:
    """Every action by its name, as `actions.ACTIONS` lists them.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the keys are pressed.
    form : SegmentForm
        Whose buttons are pressed.
    bench : Workbench
        At the image.
    corrections : Corrections
        Of its mask.
    accept : callable
        What the Accept button does.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        form: SegmentForm,
        bench: Workbench,
        *,
        corrections: Corrections,
        accept: Callable[[], object],
    ) -> None:
        self._viewer, self._form, self._bench = viewer, form, bench
        self._corrections = corrections
        self._look = look = MaskLook(form.finishing, bench)
        lesions, step = form.lesions, self._step
        self._actions: dict[str, Callable[[], object]] = {
            "undo": bench.undo,
            "redo": bench.redo,
            "use_clicks": partial(bench.use, None),
            "use_box": partial(bench.use, "box"),
            "use_scribble": partial(bench.use, "scribble"),
            "use_lasso": partial(bench.use, "lasso"),
            "use_brush": bench.use_brush,
            "swap_mark": self._swap_mark,
            "clear": self._if(form.clear_button, bench.clear, _NOTHING_TO_CLEAR),
            "accept": self._if(form.accept_button, accept, _NO_OUTLINE),
            "next_lesion": partial(step, 1),
            "previous_lesion": partial(step, -1),
            "reopen": lambda: self._with_last(lambda chosen: self._reopen(chosen[-1])),
            "merge": lambda: corrections.merge(lesions.labels),
            "delete": lambda: self._with_last(corrections.delete),
            "swap_look": partial(self._look_at, look.swap),
            "more_opaque": partial(self._look_at, partial(look.fade, OPACITY_STEP)),
            "less_opaque": partial(self._look_at, partial(look.fade, -OPACITY_STEP)),
            "protect": partial(self._look_at, look.swap_protection),
            "start_from_file": form.finishing.ask_for_file,
        }
        for number in (1, 2, 3):
            self._actions[f"choose_{number}"] = partial(self._choose, number)
        for name in CLEAN_UPS:
            clean = partial(corrections.clean_up, name)
            self._actions[name.replace(" ", "_")] = clean
        self._connect()
        self.keys = KeyMap(viewer, SEGMENT, self._on_key)

    def act(self, name: str) -> None:
        """Do what a key or a command stands for, or say why that cannot be done."""
        if self._bench.trio is None:
            self._bench.warned.emit(_NO_PHOTOGRAPH)
        else:
            self._actions[name]()

    def close(self) -> None:
        """Give the keys back."""
        self.keys.close()

    def show(self) -> None:
        """Let list, look and keys be those of the image's mask."""
        trio, form = self._bench.trio, self._form
        layer = trio.mask.layer if trio else None
        objects = {} if trio is None else trio.mask.objects
        known = {label: one.provenance for label, one in objects.items()}
        form.show_lesions(known, layer)
        self._look.show()
        if layer is not None:
            self.keys.bind_mask(layer)

    def _connect(self) -> None:
        form, bench, corrections = self._form, self._bench, self._corrections
        for tool, button in form.tools.items():
            name = "use_clicks" if tool == CLICKING else f"use_{tool}"
            button.changed.connect(self._pressed(name))
        for mark, button in (
            (LESION, form.lesion_button),
            (BACKGROUND, form.background_button),
        ):
            button.changed.connect(lambda _, mark=mark: bench.mark(mark))
        form.undo_button.changed.connect(self._pressed("undo"))
        form.redo_button.changed.connect(self._pressed("redo"))
        form.clear_button.changed.connect(self._pressed("clear"))
        form.accept_button.changed.connect(self._pressed("accept"))
        form.candidates.chosen.connect(corrections.choose)
        form.lesions.chosen.connect(self._show_lesion)
        form.lesions.reopened.connect(self._reopen)
        form.lesions.merged.connect(corrections.merge)
        form.lesions.deleted.connect(corrections.delete)
        form.finishing.cleaned.connect(corrections.clean_up)

    def _on_key(self, action: Action) -> None:
        self.act(action.name)

    def _pressed(self, name: str) -> Callable[[object], None]:
        return lambda _: self.act(name)

    def _if(
        self, button: PushButton, do: Callable[[], object], otherwise: str
    ) -> Callable[[], object]:
        """Return what does something while its button can be pressed."""
        return lambda: do() if button.enabled else self._bench.warned.emit(otherwise)

    def _choose(self, number: int) -> None:
        trio = self._bench.trio
        is_chosen = trio is not None and trio.choice == number
        self._corrections.choose(0 if is_chosen else number)

    def _swap_mark(self) -> None:
        trio = self._bench.trio
        if trio is not None:
            swapped = LESION if trio.clicks.next_label == BACKGROUND else BACKGROUND
            trio.clicks.next_label = swapped

    def _reopen(self, label: int) -> None:
        self._corrections.reopen(label)
        self._bench.use(None)

    def _with_last(self, change: Callable[[tuple[int, ...]], object]) -> None:
        trio = self._bench.trio
        if trio is None or not trio.mask.objects:
            self._bench.warned.emit(_NO_LESIONS)
        else:
            change(chosen_or_last(self._form.lesions.labels, trio.mask.objects))

    def _look_at(self, change: Callable[[], object]) -> None:
        trio = self._bench.trio
        if trio is None or trio.mask.layer is None:
            self._bench.warned.emit(_NO_MASK)
        else:
            change()

    def _step(self, by: int) -> None:
        if self._form.lesions.step(by) is None:
            self._bench.warned.emit(_NO_LESIONS)
        else:
            self._form.lesions_fold.expand(animate=False)

    def _show_lesion(self, label: int | None) -> None:
        """Bring a lesion into view."""
        trio = self._bench.trio
        known = trio.mask.objects.get(label) if trio and label else None
        if trio is None or known is None:
            return
        rows, columns = known.box
        middle = (rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2
        scene = getattr(self._viewer, "scene", self._viewer)  # napari 0.9 and before
        scene.camera.center = trio.image.data_to_world(middle)
