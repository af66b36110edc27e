"""The dialog of one project: its images, what is wrong with them, in and out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_glmedsa.errors import Cancelled, GLMedSAError
from napari_glmedsa.jobs import Job, JobQueue
from napari_glmedsa.ui.export_window import ExportWindow
from napari_glmedsa.ui.import_form import ImportForm
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.project_table import ProjectTable
from napari_glmedsa.ui.project_work import (
    ImportRequest,
    Listing,
    Report,
    Tell,
    check_project,
    read_listing,
    take_in,
)

if TYPE_CHECKING:
    from napari_glmedsa.ui.export_dialog import ExportDialog

SIZE = (620, 560)
_REPORT_LINES = 6
_WORK, _LOOK = "work", "look"


class ProjectDialog(QDialog):
    """Lists a project's images, checks them and takes new ones in, in the background.

    Closing the window lets an import go on; `close_down` ends it after the file that
    is being read.

    Parameters
    ----------
    parent : QWidget
        The dialog ends with it.
    """

    changed = Signal()
    """Images have come into the project."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._root: Path | None = None
        self._busy = False
        self._export = ExportWindow()
        self._main_thread = MainThread(self)
        self._jobs = JobQueue((_WORK,))
        self._looks = JobQueue((_LOOK,))  # an import takes long, a look must not
        self.summary = QLabel()
        self.table = ProjectTable()
        self.form = ImportForm()
        self.report = QPlainTextEdit()
        self.progress = QProgressBar()
        self.import_button = QPushButton("Import…")
        self.export_button = QPushButton("Export…")
        self.check_button = QPushButton("Check")
        self.stop_button = QPushButton("Stop")
        self.close_button = QPushButton("Close")
        for button, tooltip in (
            (self.import_button, "Take in photographs, and masks of them"),
            (self.export_button, "Write the masks in a format of other programs"),
            (self.check_button, "Read every image and mask, and tell what is wrong"),
            (self.stop_button, "Stop; what came in before stays"),
            (self.close_button, "Close this window; an import goes on"),
        ):
            button.setToolTip(tooltip)
        self._lay_out()
        self._connect()

    @property
    def root(self) -> Path | None:
        """Folder of the project that is shown."""
        return self._root

    @property
    def export(self) -> ExportDialog | None:
        """The dialog that exports it, once it was opened."""
        return self._export.dialog

    def present(self, root: Path) -> None:
        """Show a project without halting the viewer, unless another is being filled."""
        if root != self._root and not self._busy:
            self._root = root
            self.table.show_rows(())
            self.summary.setText("Reading…")
            self._show_report(Report(""))
        self.setWindowTitle(f"Project {self._root.name if self._root else ''}")
        self.refresh()
        self.show()
        self.raise_()

    def refresh(self) -> None:
        """List the images anew, in the background."""
        root = self._root
        if root is not None:
            self._looks.submit(
                _LOOK,
                lambda _: read_listing(root),
                on_done=self._main_thread.wrap(partial(self._show_listing, root)),
                on_error=self._main_thread.wrap(self._on_look_failed),
            )

    def close_down(self) -> None:
        """Call off what is being done, and take on nothing more."""
        self._jobs.close()
        self._looks.close()
        self._export.close_down()

    # What is being done

    def _on_check_pressed(self) -> None:
        if self._root is not None:
            self._begin(
                "Reading every image and mask…", partial(check_project, self._root)
            )

    def _on_import_wanted(self, request: ImportRequest) -> None:
        if self._root is not None:
            self._begin("Taking files in…", partial(take_in, self._root, request))

    def _on_export_pressed(self) -> None:
        if self._root is not None:
            self._export.show(self._root, self)

    def _on_stop_pressed(self) -> None:
        self._jobs.cancel(_WORK)
        self._end(Report("Stopped. What came in before that is in the project."))

    def _begin(self, words: str, work: Callable[[Job, Tell], Report]) -> None:
        self._busy = True
        self.progress.setRange(0, 0)
        self._show_report(Report(words))
        self._show_state()

        def run(job: Job) -> Report:
            def tell(done: int, total: int) -> None:
                self._main_thread.call(partial(self._on_step, job, done, total))

            return work(job, tell)

        self._jobs.submit(
            _WORK,
            run,
            on_done=self._main_thread.wrap(self._end),
            on_error=self._main_thread.wrap(self._on_failed),
        )

    def _on_step(self, job: Job, done: int, total: int) -> None:
        if self._busy and not job.cancelled:
            self.progress.setRange(0, total)
            self.progress.setValue(done)

    def _on_failed(self, error: Exception) -> None:
        self._end(Report(f"⚠ {error}"))
        if not isinstance(error, GLMedSAError | Cancelled):
            raise error

    def _end(self, report: Report) -> None:
        self._busy = False
        self._show_report(report)
        self._show_state()
        self.refresh()
        self.changed.emit()

    # What is seen

    def _show_listing(self, root: Path, listing: Listing) -> None:
        if root == self._root:
            self.summary.setText(listing.sentence)
            self.table.show_rows(listing.rows)

    def _on_look_failed(self, error: Exception) -> None:
        self.table.show_rows(())
        self.summary.setText(f"⚠ {error}")
        if not isinstance(error, GLMedSAError):
            raise error

    def _show_report(self, report: Report) -> None:
        lines = [report.sentence, *(f"• {detail}" for detail in report.details)]
        self.report.setPlainText("\n".join(lines))

    def _show_state(self) -> None:
        self.progress.setVisible(self._busy)
        self.stop_button.setEnabled(self._busy)
        self.check_button.setEnabled(not self._busy)
        self.form.set_busy(self._busy)

    def _lay_out(self) -> None:
        self.resize(*SIZE)
        self.summary.setWordWrap(True)
        self.report.setReadOnly(True)
        self.report.setPlaceholderText("What a check or an import finds stands here.")
        line = self.report.fontMetrics().lineSpacing()
        self.report.setFixedHeight(_REPORT_LINES * line)
        policy = self.progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(policy)
        self.progress.setTextVisible(False)
        self.import_button.setCheckable(True)
        self.form.setVisible(False)
        buttons = QHBoxLayout()
        for button in (
            self.import_button,
            self.export_button,
            self.check_button,
            self.stop_button,
            self.close_button,
        ):
            button.setAutoDefault(False)
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.summary)
        layout.addWidget(self.table, 1)
        for widget in (self.form, self.report, self.progress):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        self._show_state()

    def _connect(self) -> None:
        self.import_button.toggled.connect(self.form.setVisible)
        self.export_button.clicked.connect(self._on_export_pressed)
        self.check_button.clicked.connect(self._on_check_pressed)
        self.stop_button.clicked.connect(self._on_stop_pressed)
        self.close_button.clicked.connect(self.close)
        self.form.wanted.connect(self._on_import_wanted)
