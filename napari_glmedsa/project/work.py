"""What is being worked on in a project: journals, claims, and where everybody was."""

import hashlib
import socket

from napari_glmedsa.errors import OutputError
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.project.claims import Claim
from napari_glmedsa.project.folder import ProjectFolder
from napari_glmedsa.project.journal import Journal


class WorkInProgress:
    """The part of a project that is not finished.

    Parameters
    ----------
    folder : ProjectFolder
        Of the project. `work/` is made in it when there is something to keep.
    """

    def __init__(self, folder: ProjectFolder) -> None:
        self._folder = folder

    def journal(self, image_id: str) -> Journal:
        """Return where the steps of an image are written; the image may come later."""
        return Journal(self._folder.work(image_id, ".journal"), image_id)

    def images_in_work(self) -> list[str]:
        """Return the ids of the images that have a journal, ascending."""
        return self._folder.ids("work", ".journal")

    def claim(self, image_id: str, *, annotator: str) -> Claim:
        """Return what says that an annotator works on an image; it is not taken yet."""
        return Claim(self._folder.work(image_id, ".claim"), annotator)

    def annotation_sha256(self, image_id: str) -> str | None:
        """Return the hash of an image's accepted mask as a file, None without one."""
        annotation = self._folder.annotation(image_id).read_annotation()
        return annotation.mask_sha256 if annotation else None

    def bookmark(self, annotator: str) -> str | None:
        """Return the id of the image that an annotator had open last on this computer.

        The image may be one that was never added.
        """
        try:
            image_id = read_json(self._folder.bookmark(_seat(annotator)))["image"]
            self._folder.work(str(image_id), ".journal")  # an id, or it is refused
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return str(image_id)

    def set_bookmark(self, annotator: str, image_id: str) -> None:
        """Remember the image that an annotator has open on this computer.

        Raises
        ------
        OutputError
            If the folder cannot be written to.
        """
        path = self._folder.bookmark(_seat(annotator))
        document = {
            "annotator": annotator,
            "host": socket.gethostname(),
            "image": image_id,
        }
        try:
            path.parent.mkdir(exist_ok=True)
            write_json(path, document)
        except OSError as error:
            raise OutputError(
                f"{path.parent} cannot be written to ({error.strerror or error}), so"
                " the next start will not find this image; give it room and"
                " permission."
            ) from error


def _seat(annotator: str) -> str:
    """Return what stands for a person at a computer in a file's name."""
    who = f"{annotator}@{socket.gethostname()}"
    return hashlib.sha256(who.encode()).hexdigest()[:16]
