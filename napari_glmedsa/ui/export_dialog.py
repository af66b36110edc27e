"""The dialog that exports a project's accepted masks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_glmedsa.errors import Cancelled, GLMedSAError
from napari_glmedsa.export import FORMATS, Request, Written, export
from napari_glmedsa.jobs import Job, JobQueue
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.ui.export_form import ExportForm
from napari_glmedsa.ui.main_thread import MainThread

WIDTH = 520
_REPORT_LINES = 4
_WORK = "export"


class ExportDialog(QDialog):
    """Asks for format and place, and exports in the background.

    Closing the window calls the export off, which leaves nothing behind.

    Parameters
    ----------
    project_folder : Path
        Of the project.
    parent : QWidget
        The dialog ends with it.
    """

    def __init__(self, project_folder: Path, parent: QWidget) -> None:
        super().__init__(parent)
        self.project_folder = project_folder
        self._busy = False
        self._main_thread = MainThread(self)
        self._jobs = JobQueue((_WORK,))
        self.form = ExportForm(project_folder)
        self.report = QLabel()
        self.progress = QProgressBar()
        self.export_button = QPushButton("Export")
        self.stop_button = QPushButton("Stop")
        self.close_button = QPushButton("Close")
        for button, tooltip in (
            (self.export_button, "Write the masks"),
            (self.stop_button, "Call the export off; nothing stays behind"),
            (self.close_button, "Close this window; an export is called off"),
        ):
            button.setToolTip(tooltip)
        self._lay_out()
        self.form.edited.connect(self._show_state)
        self.export_button.clicked.connect(self._on_export_pressed)
        self.stop_button.clicked.connect(self._on_stop_pressed)
        self.close_button.clicked.connect(self.close)

    def done(self, code: int) -> None:
        """Call the export off when the window is closed, in whatever way."""
        if self._busy:
            self._on_stop_pressed()
        super().done(code)

    def close_down(self) -> None:
        """Call off what is being done, and take on nothing more."""
        self._jobs.close()

    def _on_export_pressed(self) -> None:
        request, root = self.form.request(), self.project_folder
        self._busy = True
        self.progress.setRange(0, 0)
        self.report.setText("Exporting…")
        self._show_state()

        def run(job: Job) -> Written:
            def step(done: int, total: int) -> None:
                job.raise_if_cancelled()
                self._main_thread.call(partial(self._on_step, job, done, total))

            written = export(AnnotationProject.open(root), request, step=step)
            if job.cancelled:
                self._main_thread.call(partial(self._on_late, request, written))
            return written

        self._jobs.submit(
            _WORK,
            run,
            on_done=self._main_thread.wrap(partial(self._on_done, request)),
            on_error=self._main_thread.wrap(self._on_failed),
        )

    def _on_stop_pressed(self) -> None:
        self._jobs.cancel(_WORK)
        self._end("Stopped. Nothing was written.")

    def _on_step(self, job: Job, done: int, total: int) -> None:
        if self._busy and not job.cancelled:
            self.progress.setRange(0, total)
            self.progress.setValue(done)

    def _on_done(self, request: Request, written: Written) -> None:
        images = "1 image" if written.n_images == 1 else f"{written.n_images} images"
        title = FORMATS[request.format].title
        remark = f" {written.remark}" if written.remark else ""
        self._end(f"Exported {images} as {title} to {written.output}.{remark}")

    def _on_late(self, request: Request, written: Written) -> None:
        """Say that an export was finished already when it was called off."""
        if not self._busy:
            self._on_done(request, written)

    def _on_failed(self, error: Exception) -> None:
        self._end(f"⚠ {error}")
        if not isinstance(error, GLMedSAError | Cancelled):
            raise error

    def _end(self, sentence: str) -> None:
        self._busy = False
        self.report.setText(sentence)
        self._show_state()

    def _show_state(self) -> None:
        self.progress.setVisible(self._busy)
        self.stop_button.setEnabled(self._busy)
        self.form.setEnabled(not self._busy)
        has_place = self.form.output.path is not None
        self.export_button.setEnabled(has_place and not self._busy)

    def _lay_out(self) -> None:
        self.setWindowTitle(f"Export {self.project_folder.name}")
        self.setMinimumWidth(WIDTH)
        self.report.setWordWrap(True)
        line = self.report.fontMetrics().lineSpacing()
        self.report.setMinimumHeight(_REPORT_LINES * line)
        policy = self.progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(policy)
        self.progress.setTextVisible(False)
        buttons = QHBoxLayout()
        for button in (self.export_button, self.stop_button, self.close_button):
            button.setAutoDefault(False)
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        for widget in (self.form, self.report, self.progress):
            layout.addWidget(widget)
        layout.addLayout(buttons)
        self._show_state()
