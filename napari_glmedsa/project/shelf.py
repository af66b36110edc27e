"""Work that belongs to no project, and the photograph that somebody was at last."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.errors import GLMedSAError, OutputError, ProjectError
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.images import read_image, write_image
from napari_glmedsa.project.folder import ProjectFolder
from napari_glmedsa.project.photographs import image_id
from napari_glmedsa.project.project import AnnotationProject
from napari_glmedsa.project.work import WorkInProgress


@dataclass(frozen=True, slots=True)
class LastPhotograph:
    """The photograph that somebody was at last.

    Parameters
    ----------
    image
        Its id.
    name
        What the user calls it.
    file
        Where it was read from; None if it came from no file.
    reader
        The napari plugin that has read it; empty if none has.
    project
        Folder of the project that its masks go into, if there is one.
    """

    image: str
    name: str
    file: Path | None = None
    reader: str = ""
    project: Path | None = None


class Shelf(WorkInProgress):
    """A user's own place for what is not finished.

    It never leaves the user's account, so it may name folders, as a project must not.

    Parameters
    ----------
    root : Path
        Its folder, made when there is something to keep.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        super().__init__(ProjectFolder(root))
        self._card, self._copy = root / "last.json", root / "last.png"

    def last(self) -> LastPhotograph | None:
        """Return the photograph that the user was at last, None if that is not known.

        It may have been moved or deleted since.
        """
        try:
            document = read_json(self._card)
            self.journal(str(document["image"]))  # an id, or it is refused
            file, project = document["file"], document["project"]
            return LastPhotograph(
                str(document["image"]),
                str(document["name"]),
                file=None if file is None else Path(file),
                reader=str(document["reader"]),
                project=None if project is None else Path(project),
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def remember(
        self, last: LastPhotograph, pixels: NDArray[np.uint8] | None = None
    ) -> None:
        """Note which photograph the user is at now.

        Parameters
        ----------
        last
            Which one.
        pixels : (H, W, 3) uint8, optional
            Kept instead of those of the one before, for a photograph without a file.

        Raises
        ------
        OutputError
            If the shelf cannot be written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._copy.unlink(missing_ok=True)
            if pixels is not None:
                write_image(self._copy, pixels)
            document = {
                "image": last.image,
                "name": last.name,
                "file": last.file and str(last.file),
                "reader": last.reader,
                "project": last.project and str(last.project),
            }
            write_json(self._card, document)
        except OSError as error:
            raise OutputError(
                f"{self.root} cannot be written to ({error.strerror or error}), so the"
                " next start will not find this photograph; give it room and"
                " permission."
            ) from error

    def work_on(self, last: LastPhotograph) -> WorkInProgress:
        """Return where the steps of a photograph are written.

        Raises
        ------
        ProjectError, ProjectVersionError
            If its project cannot be opened.
        """
        return self if last.project is None else AnnotationProject.open(last.project)

    def pixels(self, last: LastPhotograph) -> NDArray[np.uint8]:
        """Return the photograph, (H, W, 3): from its file, its project, or the shelf.

        Raises
        ------
        ProjectError
            If it is nowhere any more.
        """
        for read in (self._from_file, self._from_project, self._from_copy):
            try:
                pixels = read(last)
            except GLMedSAError:
                continue
            if image_id(pixels) == last.image:
                return pixels
        raise ProjectError(
            f"{last.name} is not where it was when you worked on it; open it yourself,"
            " and what you did comes back."
        )

    def _from_file(self, last: LastPhotograph) -> NDArray[np.uint8]:
        if last.file is None:
            raise ProjectError(f"{last.name} came from no file.")
        return read_image(last.file)

    def _from_project(self, last: LastPhotograph) -> NDArray[np.uint8]:
        if last.project is None:
            raise ProjectError(f"{last.name} belongs to no project.")
        return AnnotationProject.open(last.project).image(last.image)

    def _from_copy(self, _: LastPhotograph) -> NDArray[np.uint8]:
        return read_image(self._copy)
