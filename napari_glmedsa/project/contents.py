"""What is in a project's folder now: records of images, accepted masks, groups."""

from collections.abc import Sequence

from napari_glmedsa.errors import ProjectError
from napari_glmedsa.project.annotations import Annotation
from napari_glmedsa.project.folder import ProjectFolder
from napari_glmedsa.project.groups import Groups
from napari_glmedsa.project.photographs import ImageRecord
from napari_glmedsa.project.remembered import Remembered


class ProjectContents:
    """Reads the small files of a project, and only those again that have changed.

    Parameters
    ----------
    folder : ProjectFolder
        Where they are.
    name : str
        What the user calls the project.
    """

    def __init__(self, folder: ProjectFolder, name: str) -> None:
        self._folder, self._name = folder, name
        self._records = Remembered[ImageRecord | None]()
        self._annotations = Remembered[Annotation | None]()
        self._groups = Groups()

    def records(self) -> list[ImageRecord]:
        """Return what is known about every image, ids in ascending order."""
        found = map(self.record, self._folder.ids("images", ".json"))
        return [record for record in found if record]

    def annotated_records(self) -> list[ImageRecord]:
        """Return the same of the images that have a mask."""
        found = map(self.record, self._folder.ids("masks", ".png"))
        return [record for record in found if record and self.annotation(record.id)]

    def groups(self, records: Sequence[ImageRecord]) -> list[set[str]]:
        """Return disjoint sets of the ids of images that must stay together."""
        return self._groups.of(records)

    def record(self, image_id: str) -> ImageRecord | None:
        """Return what is known about an image, None if it is not there."""
        files = self._folder.photograph(image_id)
        return self._records.get(image_id, (files.pixels, files.record), files.read)

    def annotation(self, image_id: str) -> Annotation | None:
        """Return what is known about an image's mask, None if it has none."""
        files = self._folder.annotation(image_id)
        return self._annotations.get(image_id, files.all, files.read_annotation)

    def require_annotation(self, image_id: str) -> Annotation:
        """Return the same; raises ProjectError if it has none."""
        annotation = self.annotation(image_id)
        if annotation is None:
            raise self.has_no_mask(image_id)
        return annotation

    def has_no_mask(self, image_id: str) -> ProjectError:
        """Return the error that says so."""
        return ProjectError(
            f"Image {image_id} of the project {self._name} has no accepted mask;"
            " annotate it first."
        )
