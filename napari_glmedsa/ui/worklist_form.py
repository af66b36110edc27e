"""What one sees of the dock "Worklist": which folder, which photographs, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from magicgui.widgets import ComboBox, PushButton
from qtpy.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from napari_glmedsa.ui import forms
from napari_glmedsa.ui.actions import WORKLIST
from napari_glmedsa.ui.keymap import keys_of
from napari_glmedsa.ui.worklist_thumbnails import Thumbnails
from napari_glmedsa.ui.worklist_view import WorklistView
from napari_glmedsa.worklist import Entry, Order, Shown

KEYS = NEXT, PREVIOUS, FLAG, SKIP = tuple(
    keys_of(name, WORKLIST) for name in ("next", "previous", "flag", "skip")
)
"""In the viewer and in the list."""

MIN_WIDTH = 280
"""Pixels in which every word fits."""
_LIST_HEIGHT = 130
_MARGIN = 6
_RANK, _CANCEL = "Rank by uncertainty", "Stop ranking"


class WorklistForm(QWidget):
    """The widgets of the dock, without any behaviour.

    Parameters
    ----------
    thumbnails : Thumbnails
        Of the list.
    """

    def __init__(self, thumbnails: Thumbnails) -> None:
        super().__init__()
        self.folder = forms.narrow(
            ComboBox(label="Folder", choices=[], tooltip="Projects used last")
        )
        self.choose_button = PushButton(
            text="Choose…",
            tooltip="Work through a folder of photographs, or a project",
        )
        self.shown = forms.narrow(
            ComboBox(
                label="Show",
                choices=[(one.value, one) for one in Shown],
                value=Shown.TO_DO,
                tooltip="To do: neither accepted nor skipped",
            )
        )
        self.order = forms.narrow(
            ComboBox(
                label="Order",
                choices=[(f"by {one}", one) for one in Order],
                value=Order.NAME,
                tooltip="By uncertainty: what the model is least sure of comes first",
            )
        )
        for box in (self.shown, self.order, self.folder):
            box.native.setMinimumContentsLength(6)
            box.native.setAccessibleName(box.label)
        self.list = WorklistView(thumbnails, KEYS)
        self.list.setMinimumHeight(_LIST_HEIGHT)
        self.previous_button = PushButton(
            text="◀ Previous", tooltip=f"The photograph before ({PREVIOUS})"
        )
        self.next_button = PushButton(
            text="Next ▶", tooltip=f"The next photograph ({NEXT})"
        )
        self.flag_button = PushButton(
            text="Flag",
            tooltip=f"Somebody should look at it; again takes it back ({FLAG})",
        )
        self.skip_button = PushButton(
            text="Skip",
            tooltip=f"Leave it out and go on; again takes it back ({SKIP})",
        )
        self.rank_button = PushButton(
            text=_RANK,
            tooltip="Ask the active model about every photograph, in the background",
        )
        self.export_button = PushButton(
            text="Export…", tooltip="Write the accepted masks for other programs"
        )
        self.progress = forms.progress_bar()
        self.words = forms.paragraph(lines=3)
        self._lay_out()
        self.show_entries((), None)
        self.show_ranking(None)

    def offer_folders(self, folders: Sequence[Path], picked: Path | None) -> None:
        """Offer these folders, of which one is open."""
        times = Counter(folder.name for folder in folders)
        choices: list[tuple[str, object]] = [
            (one.name if times[one.name] == 1 else f"{one.name} ({one.parent})", one)
            for one in folders
        ]
        with self.folder.changed.blocked():
            self.folder.choices = lambda _: choices
            if picked in folders:
                self.folder.value = picked

    def show_entries(self, entries: Sequence[Entry], current: Entry | None) -> None:
        """Show these photographs, and which of them is open."""
        photographs = self.list.photographs
        photographs.show(entries)
        if current is not None:
            index = photographs.place(current.key)
            if index.isValid() and index != self.list.currentIndex():
                self.list.setCurrentIndex(index)
        else:
            self.list.clearSelection()
        for button in (self.previous_button, self.next_button):
            button.enabled = bool(entries)
        for button in (self.flag_button, self.skip_button):
            button.enabled = current is not None
        self.flag_button.text = _or_back("Flag", current, Shown.FLAGGED)
        self.skip_button.text = _or_back("Skip", current, Shown.SKIPPED)

    def set_open(self, is_open: bool) -> None:
        """Say whether there is a worklist."""
        self.rank_button.enabled = self.export_button.enabled = is_open

    def show_ranking(self, share: float | None) -> None:
        """Show how far ranking is, 0 to 1; None if it is not under way."""
        self.rank_button.text = _RANK if share is None else _CANCEL
        self.progress.visible = share is not None
        self.progress.max = 1000
        self.progress.value = round(1000 * (share or 0))

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*4 * (_MARGIN,))
        layout.setSpacing(4)
        for row in (
            (self.folder.native, self.choose_button.native),
            (self.shown.native, self.order.native),
        ):
            layout.addLayout(_row(*row))
        layout.addWidget(self.list, 1)
        for left, right in (
            (self.previous_button, self.next_button),
            (self.flag_button, self.skip_button),
            (self.rank_button, self.export_button),
        ):
            layout.addWidget(forms.button_row(left, right).native)
        layout.addWidget(self.progress.native)
        layout.addWidget(self.words.native)
        self.setMinimumWidth(MIN_WIDTH)
        # Else napari would fill half of the dock with nothing.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget, 1 if widget is widgets[0] or len(widgets) == 2 else 0)
    return row


def _or_back(word: str, current: Entry | None, state: Shown) -> str:
    is_so = current is not None and state.includes(current)
    return f"Un{word.lower()}" if is_so else word
