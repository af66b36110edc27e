"""The masks that the model proposes besides the one it shows, with their scores."""

from __future__ import annotations

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

N_CANDIDATES = 3
_NONE_YET = "The model's proposal {0}: click on the lesion first"
_TOOLTIP = (
    "Proposal {0} of the model, which expects an IoU of {1:.2f} (Ctrl+{0}). "
    "Again: back to its own choice"
)


class CandidatePanel(QWidget):
    """Three buttons in a row; the keys 1 to 3 press them while one has the focus."""

    chosen = Signal(int)
    """1 to 3, or 0 for the model's own choice."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Proposals of the model")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("Proposals"))
        self.buttons = [QPushButton() for _ in range(N_CANDIDATES)]
        for number, button in enumerate(self.buttons, 1):
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _, number=number: self._on_pressed(number))
            layout.addWidget(button, 1)
        self._choice = 0
        self.show_candidates((), 0)

    def show_candidates(self, scores: Sequence[float], choice: int) -> None:
        """Show the scores, none if there is no answer yet, and which one is chosen."""
        self._choice = choice
        for number, button in enumerate(self.buttons, 1):
            there = number <= len(scores)
            button.setEnabled(there)
            score = scores[number - 1] if there else 0.0
            button.setText(f"{number}: {score:.2f}" if there else f"{number}")
            words = _TOOLTIP if there else _NONE_YET
            button.setToolTip(words.format(number, score))
            button.setChecked(there and number == choice)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Choose with a digit, and leave every other key to napari."""
        number = -1 if event is None else event.key() - Qt.Key.Key_0
        if event is not None and number in range(1, N_CANDIDATES + 1):
            if self.buttons[number - 1].isEnabled():
                self._on_pressed(number)
        else:
            super().keyPressEvent(event)

    def _on_pressed(self, number: int) -> None:
        self.buttons[number - 1].setChecked(number == self._choice)
        self.chosen.emit(0 if number == self._choice else number)
