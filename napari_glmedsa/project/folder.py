"""A project's folder: where its files are, and who may write them when."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from napari_glmedsa.errors import (
    GLMedSAError,
    OutputError,
    ProjectError,
    ProjectVersionError,
)
from napari_glmedsa.files import NONSENSE, read_json, write_json
from napari_glmedsa.project.annotations import AnnotationFiles
from napari_glmedsa.project.photographs import PhotographFiles
from napari_glmedsa.project.splits import Deal

SCHEMA_VERSION = 1
"""Format of a project folder; a newer one is refused."""

_FOLDERS = ("images", "masks", "prompts", "runs")
_PATIENCE = 30.0  # seconds to wait for another program that writes
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class ProjectFolder:
    """The layout of a project below its root; all paths follow from it."""

    root: Path

    def create(self, name: str) -> None:
        """Make the folder and what stands in every project; last, project.json."""
        try:
            self._check_is_free()
            for folder in _FOLDERS:
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            document = {
                "schema_version": SCHEMA_VERSION,
                "name": name or self.root.name,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            write_json(self._card, document)
        except GLMedSAError:
            raise
        except OSError as error:
            raise self._unwritable(error) from error

    def read_name(self) -> str:
        """Return the project's name if this is one that can be read."""
        if not self.root.is_dir():
            raise ProjectError(
                f"There is no folder {self.root}; if the project was moved, choose"
                " where it is now."
            )
        try:
            document = read_json(self._card)
            version, name = int(document["schema_version"]), str(document["name"])
        except FileNotFoundError as error:
            raise ProjectError(
                f"{self.root} is not an annotation project (it has no project.json);"
                " choose a project's own folder or create one."
            ) from error
        except OSError as error:
            raise ProjectError(
                f"{self._card} cannot be read ({error.strerror}); check its"
                " permissions."
            ) from error
        except NONSENSE as error:
            raise ProjectError(
                f"{self._card} is damaged; put it back from a copy."
            ) from error
        if version > SCHEMA_VERSION:
            raise ProjectVersionError(
                f"{self.root} has project format {version}, but this program knows"
                f" formats up to {SCHEMA_VERSION}; update napari-glmedsa to open it."
            )
        return name

    @property
    def runs(self) -> Path:
        """Where the training runs are kept."""
        return self.root / "runs"

    def photograph(self, image_id: str) -> PhotographFiles:
        """Return where an image and its record are, or would be."""
        return PhotographFiles(
            self._file("images", image_id, ".png"),
            self._file("images", image_id, ".json"),
        )

    def annotation(self, image_id: str) -> AnnotationFiles:
        """Return where an image's mask and prompts are, or would be."""
        return AnnotationFiles(
            self._file("masks", image_id, ".png"),
            self._file("prompts", image_id, ".json"),
        )

    def work(self, image_id: str, suffix: Literal[".journal", ".claim"]) -> Path:
        """Return where it stands what is being done to an image, or by whom."""
        return self._file("work", image_id, suffix)

    def ids(
        self,
        folder: Literal["images", "masks", "prompts", "work"],
        suffix: Literal[".png", ".json", ".journal"],
    ) -> list[str]:
        """Return the image ids that name a file of that kind, ascending."""
        try:
            found = [
                path.stem
                for path in (self.root / folder).iterdir()
                if path.suffix == suffix and _ID.fullmatch(path.stem)
            ]
        except FileNotFoundError:
            if self.root.is_dir():
                return []  # an empty folder gets lost in an archive
            raise ProjectError(
                f"The project's folder {self.root} is gone; open the project where it"
                " is now."
            ) from None
        except OSError as error:
            raise ProjectError(
                f"{self.root / folder} cannot be read ({error.strerror}); check its"
                " permissions."
            ) from error
        return sorted(found)

    def read_deal(self) -> Deal:
        """Return which image has which split; an empty deal if none has one yet."""
        try:
            return Deal.from_json(read_json(self._splits))
        except FileNotFoundError:
            return Deal()
        except OSError as error:
            raise ProjectError(
                f"{self._splits} cannot be read ({error.strerror}); check its"
                " permissions."
            ) from error
        except NONSENSE as error:
            raise ProjectError(
                f"{self._splits} is damaged; put it back from a copy, or delete it to"
                " have the images split anew."
            ) from error

    def write_deal(self, deal: Deal) -> None:
        """Write which image has which split."""
        write_json(self._splits, deal.to_json())

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let one program at a time write, and say in one sentence why none can.

        What killed writers have left unfinished is cleared away first.
        """
        if not self.root.is_dir():
            raise ProjectError(
                f"The project's folder {self.root} is gone; open the project where it"
                " is now."
            )
        try:
            for folder in _FOLDERS:
                (self.root / folder).mkdir(exist_ok=True)
            # One lock for the whole program, so that who has it may ask again.
            with FileLock(self.root / ".lock", timeout=_PATIENCE, is_singleton=True):
                self._sweep()
                yield
        except Timeout as error:
            raise ProjectError(
                f"Another program has been writing to {self.root} for"
                f" {_PATIENCE:.0f} seconds; close it, then try again."
            ) from error
        except GLMedSAError:
            raise
        except OSError as error:
            raise self._unwritable(error) from error

    @property
    def _card(self) -> Path:
        return self.root / "project.json"

    @property
    def _splits(self) -> Path:
        return self.root / "splits.json"

    def _file(self, folder: str, image_id: str, suffix: str) -> Path:
        if not _ID.fullmatch(image_id):  # it must not lead out of the folder
            raise ProjectError(f"{image_id} is not the id of an image in a project.")
        return self.root / folder / f"{image_id}{suffix}"

    def _sweep(self) -> None:
        for folder in ("images", "masks", "prompts"):
            for path in (self.root / folder).iterdir():
                if path.suffix == ".partial":
                    path.unlink(missing_ok=True)

    def _check_is_free(self) -> None:
        if self._card.exists():
            raise ProjectError(f"{self.root} is a project already; open it.")
        if self.root.exists() and not self.root.is_dir():
            raise ProjectError(f"{self.root} is a file; name a new folder.")
        if self.root.is_dir() and any(
            entry.name not in _FOLDERS and not entry.name.startswith(".")
            for entry in self.root.iterdir()
        ):
            raise ProjectError(
                f"{self.root} holds other files; name a new or an empty folder."
            )

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"The project {self.root} cannot be written to"
            f" ({error.strerror or error}); give it room and permission, or copy it to"
            " where you may write."
        )
