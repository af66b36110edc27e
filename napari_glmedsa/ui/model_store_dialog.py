"""The dialog of models: what is here, what can be had, and what is being done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_glmedsa.errors import Cancelled, GLMedSAError
from napari_glmedsa.jobs import Job, JobQueue
from napari_glmedsa.store import MODEL_TYPES, ModelStore, Transfer, TypeUnknownError
from napari_glmedsa.ui import model_store_rows as rows
from napari_glmedsa.ui.main_thread import MainThread
from napari_glmedsa.ui.model_store_rows import Activity, Row
from napari_glmedsa.ui.model_store_table import ModelStoreTable
from napari_glmedsa.ui.model_store_work import Doing, download, take_in, verify
from napari_glmedsa.ui.pytorch import prepare_pytorch

SIZE = (520, 480)
_WORK, _LOOK = "work", "look"


class ModelStoreDialog(QDialog):
    """Lists base models; downloads, adds, checks and removes them in the background.

    Closing the window lets a download go on; `close_down` ends it.

    Parameters
    ----------
    store : ModelStore
        Where models are kept.
    parent : QWidget
        The dialog ends with it.
    """

    def __init__(self, store: ModelStore, parent: QWidget) -> None:
        super().__init__(parent)
        self._store = store
        self._activities: dict[str, Activity] = {}
        self._busy_with: str | None = None
        self._wanted: str | None = None
        self._main_thread = MainThread(self)
        self._jobs = JobQueue((_WORK,))
        self._looks = JobQueue((_LOOK,))  # a download takes long, a look must not
        self.table = ModelStoreTable()
        self.details = QLabel()
        self.progress = QProgressBar()
        self.fetch_button = QPushButton("Download")
        self.add_button = QPushButton("Add file…")
        self.verify_button = QPushButton("Verify")
        self.remove_button = QPushButton("Remove…")
        for button, tooltip in (
            (self.fetch_button, "Fetch the weights from where they are published"),
            (self.add_button, "Take in a SAM checkpoint or an adapter from a file"),
            (self.verify_button, "Compare the file with its published checksum"),
            (self.remove_button, "Delete the model from your folder of models"),
        ):
            button.setToolTip(tooltip)
        self._lay_out()
        self._connect()

    def present(self, name: str | None = None) -> None:
        """Show the dialog without halting the viewer, with this model selected."""
        self._wanted = name
        self.refresh()
        self.show()
        self.raise_()

    def refresh(self) -> None:
        """Look at what there is, in the background."""
        self._looks.submit(
            _LOOK,
            lambda _: rows.look(self._store),
            on_done=self._main_thread.wrap(self._show_rows),
            on_error=self._main_thread.wrap(self._on_look_failed),
        )

    def close_down(self) -> None:
        """Call off what is being done, and take on nothing more."""
        self._jobs.close()
        self._looks.close()

    # What the user wants

    def _on_fetch_pressed(self) -> None:
        row = self.table.selected
        if self._busy_with is not None:
            self._jobs.cancel(_WORK)
            self._end(self._busy_with, None)
        elif row is not None:
            self._begin(row.name, partial(download, self._store, row.name))

    def _on_add_pressed(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self,
            "Add a SAM checkpoint or an adapter",
            str(Path.home()),
            "Weights (*.pth *.pt *.safetensors)",
        )
        if path:
            self.add(Path(path))

    def add(self, file: Path) -> None:
        """Take a file in; asks what it is if its hash does not tell."""
        self._begin(file.name, partial(take_in, self._store, file))

    def _on_verify_pressed(self) -> None:
        if row := self.table.selected:
            self._begin(row.name, partial(verify, self._store, row.name))

    def _on_remove_pressed(self) -> None:
        row = self.table.selected
        if row is None:
            return
        question = f"Delete {row.name} from your folder of models?"
        try:
            self._store.refuse_to_remove(row.name)
        except GLMedSAError as error:
            question = f"{error} Delete it all the same?"
        if self._agrees(question):
            remove = partial(self._store.remove, row.name, force=True)
            self._begin(row.name, lambda **_: remove())

    def _agrees(self, question: str) -> bool:
        buttons = QMessageBox.StandardButton
        answer = QMessageBox.question(
            self, "Remove a model", question, buttons.Yes | buttons.No, buttons.No
        )
        return bool(answer == buttons.Yes)

    # What is being done

    def _begin(self, name: str, work: Callable[..., object]) -> None:
        self._busy_with = name
        self._activities[name] = Activity("working", "Working")

        def run(job: Job) -> object:
            prepare_pytorch()  # before torch
            doing = Doing(job, self._main_thread.wrap(partial(self._on_step, name)))
            return work(report=doing.report, cancelled=doing.cancelled)

        self._jobs.submit(
            _WORK,
            run,
            on_done=self._main_thread.wrap(partial(self._on_done, name)),
            on_error=self._main_thread.wrap(partial(self._on_failed, name)),
        )
        self._show_state()

    def _on_step(self, name: str, step: Transfer) -> None:
        if name == self._busy_with:
            self._activities[name] = rows.working(step)
            self._show_state()

    def _on_done(self, name: str, result: object) -> None:
        self._end(name, None)
        if isinstance(result, str):  # the name it has now
            self._wanted = result
            # What came in or was read has been held to its hash just now.
            self._activities[result] = Activity("verified")

    def _on_failed(self, name: str, error: Exception) -> None:
        self._end(name, Activity("failed", reason=str(error)))
        if isinstance(error, TypeUnknownError):
            self._ask_for_type(error)
        elif not isinstance(error, GLMedSAError | Cancelled):
            raise error

    def _ask_for_type(self, error: TypeUnknownError) -> None:
        chosen, accepted = QInputDialog.getItem(
            self,
            "Type of the model",
            f"{error.file.name} is none of the official files. It is:",
            list(MODEL_TYPES),
            0,
            False,
        )
        self._activities.pop(error.file.name, None)
        if accepted:
            model_type = next(name for name in MODEL_TYPES if name == chosen)
            work = partial(take_in, self._store, error.file, model_type=model_type)
            self._begin(error.file.name, work)

    def _end(self, name: str, activity: Activity | None) -> None:
        self._busy_with = None
        self._activities.pop(name, None)
        if activity is not None:
            self._activities[name] = activity
        self.refresh()
        self._show_state()

    def _on_look_failed(self, error: Exception) -> None:
        self.details.setText(str(error))
        if not isinstance(error, GLMedSAError | OSError):
            raise error

    # What is seen

    def _show_rows(self, found: tuple[Row, ...]) -> None:
        self.table.show_rows(found, self._activities)
        if self._wanted is not None:
            self.table.select(self._wanted)
            self._wanted = None
        self._show_state()

    def _show_state(self) -> None:
        self.table.show_activities(self._activities)
        row, busy = self.table.selected, self._busy_with is not None
        activity = self._activities.get(self._busy_with or (row.name if row else ""))
        self.progress.setVisible(busy)
        self.progress.setRange(0, 100 if activity and activity.share else 0)
        self.progress.setValue(activity.share if activity else 0)
        self._show_details(row)
        resumes = row is not None and row.loaded_bytes > 0
        self.fetch_button.setText("Resume" if resumes and not busy else "Download")
        if busy:
            self.fetch_button.setText("Cancel")
        available = row is not None and row.state == "available"
        self.fetch_button.setEnabled(busy or available)
        self.add_button.setEnabled(not busy)
        installed = row is not None and row.state != "available"
        self.verify_button.setEnabled(not busy and installed)
        self.remove_button.setEnabled(not busy and row is not None and row.removable)

    def _show_details(self, row: Row | None) -> None:
        names = {row.name for row in self.table.rows}
        strangers = [  # files that could not be taken in are in no row
            activity.reason or f"{name}: {activity.words}"
            for name, activity in self._activities.items()
            if name not in names and activity.kind != "verified"
        ]
        about = rows.detail_words(row, self._activities.get(row.name)) if row else ""
        self.details.setText("\n".join([*strangers, about]))

    def _lay_out(self) -> None:
        self.setWindowTitle("Models")
        self.resize(*SIZE)
        self.details.setWordWrap(True)
        self.details.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.details.setMinimumHeight(6 * self.details.fontMetrics().lineSpacing())
        self.details.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )
        policy = self.progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.progress.setSizePolicy(policy)
        self.progress.setVisible(False)
        buttons = QHBoxLayout()
        for button in self._buttons():
            button.setAutoDefault(False)
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.details)
        layout.addWidget(self.progress)
        layout.addLayout(buttons)
        self._show_state()

    def _connect(self) -> None:
        actions = (
            self._on_fetch_pressed,
            self._on_add_pressed,
            self._on_verify_pressed,
            self._on_remove_pressed,
        )
        for button, action in zip(self._buttons(), actions, strict=True):
            button.clicked.connect(action)
        self.table.itemSelectionChanged.connect(self._show_state)

    def _buttons(self) -> tuple[QPushButton, ...]:
        return (
            self.fetch_button,
            self.add_button,
            self.verify_button,
            self.remove_button,
        )
