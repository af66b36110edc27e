"""What one sees of the "Fine-tune" dock: the project, the next run, and a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from magicgui.widgets import ComboBox, PushButton
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from napari_glmedsa.ui import forms
from napari_glmedsa.ui.project_names import project_names
from napari_glmedsa.ui.run_panel import RunPanel
from napari_glmedsa.ui.run_setup import RunSetup
from napari_glmedsa.ui.run_snapshot import Look

MIN_WIDTH = 360
"""Pixels in which every word fits."""
_MIN_HEIGHT = 280
_MARGIN = 6
_PROJECT_LENGTH = 6  # characters of the picker, which shares its row with two buttons

SETUP, RUNS = 0, 1
"""Pages of the form."""


_NO_PROJECT = (
    "Choose an annotation project: a folder of photographs and accepted masks. The "
    "Segment dock makes one."
)


class FineTuneForm(QScrollArea):
    """The widgets of the dock, without any behaviour."""

    def __init__(self) -> None:
        super().__init__()
        self.project = forms.narrow(
            ComboBox(label="Project", choices=[], tooltip="The projects used last")
        )
        self.project.native.setMinimumContentsLength(_PROJECT_LENGTH)
        self.choose_button = PushButton(
            text="Choose…", tooltip="Open the folder of another annotation project"
        )
        self.images_button = PushButton(
            text="Images…",
            tooltip="List the project's images, check them, import photographs",
            enabled=False,
        )
        self.images = forms.paragraph(lines=2)
        self.problem = forms.paragraph()
        self.pages = QTabBar()
        for word, tooltip in (
            ("New run", "Choose how the next run is to be, and start it"),
            ("Runs", "Follow a run, compare before and after, activate its model"),
        ):
            self.pages.setTabToolTip(self.pages.addTab(word), tooltip)
        self.pages.setExpanding(False)
        self.pages.setDrawBase(False)
        self.setup = RunSetup()
        self.run = RunPanel()
        self._lay_out()
        self.pages.currentChanged.connect(self.show_page)
        self.show_page(SETUP)
        self.show_look(Look(), starting=False, problem="")

    def offer_projects(self, folders: Sequence[Path]) -> None:
        """Offer these projects, named like their folders; the first is picked."""
        named = zip(project_names(folders), folders, strict=True)
        forms.offer(self.project, list(named))
        for index, folder in enumerate(folders):
            self.project.native.setItemData(
                index, str(folder), Qt.ItemDataRole.ToolTipRole
            )

    def show_page(self, page: int) -> None:
        """Show what the next run is like, or how a run is going."""
        self.pages.setCurrentIndex(page)
        self.setup.setVisible(page == SETUP)
        self.run.setVisible(page == RUNS)

    def show_look(self, look: Look, *, starting: bool, problem: str) -> None:
        """Show how things are, and what went wrong."""
        project = look.project
        self.images.value = "" if look.root else _NO_PROJECT
        if project is not None:
            self.images.value = project.sentence()
        self.problem.value = f"⚠ {problem}" if problem else ""
        self.problem.native.setVisible(bool(problem))
        if look.active is not None:
            self.setup.offer_models(look.active, look.models, shape=look.shape)
        self.setup.start_button.enabled = (
            not starting
            and project is not None
            and project.can_train
            and self.setup.start_model is not None
        )
        n_runs = len(project.runs) if project else 0
        self.pages.setTabText(RUNS, f"Runs ({n_runs})" if n_runs else "Runs")
        self.run.show_look(look)

    def _lay_out(self) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(_MARGIN, _MARGIN, _MARGIN, _MARGIN)
        project = QHBoxLayout()
        project.addWidget(QLabel("Project"))
        project.addWidget(self.project.native, 1)
        project.addWidget(self.choose_button.native)
        project.addWidget(self.images_button.native)
        layout.addLayout(project)
        for widget in (
            self.images.native,
            self.problem.native,
            self.pages,
            self.setup,
            self.run,
        ):
            layout.addWidget(widget)
        layout.addStretch()
        layout.addWidget(forms.paragraph(forms.DISCLAIMER).native)
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumSize(MIN_WIDTH, _MIN_HEIGHT)
