"""What is being worked on: journals, and claims."""

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
