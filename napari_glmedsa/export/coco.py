"""COCO object detection files: every lesion as run lengths or as polygons."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa import __version__
from napari_glmedsa.errors import ImageFormatError
from napari_glmedsa.export.objects import stacked
from napari_glmedsa.export.outlines import polygons
from napari_glmedsa.export.place import whole_file
from napari_glmedsa.export.subject import Step, Written, silent, subjects
from napari_glmedsa.extras import require
from napari_glmedsa.files import NONSENSE, read_json
from napari_glmedsa.pixels import MAX_PIXELS
from napari_glmedsa.project import AnnotationProject
from napari_glmedsa.project.annotations import present_labels

Outline = Literal["rle", "polygons"]
"""How objects are written; both are exact to the pixel when pycocotools reads them."""

OURS = "napari_glmedsa"
"""Key of what only this program reads: an image's id, an object's label."""

_LESION = {"id": 1, "name": "lesion", "supercategory": "skin"}


@dataclass(frozen=True, eq=False)
class CocoImage:
    """One image of a COCO file and what is outlined on it.

    Attributes
    ----------
    file_name : str
        Without its folders.
    image_id : str
        Of the project it was exported from, or empty.
    path : Path
        The COCO file.
    size : (H, W)
        Of the image.
    annotations : list of dict
        As they stand in the file.
    """

    file_name: str
    image_id: str
    path: Path
    size: tuple[int, int]
    annotations: list[dict[str, Any]]

    def label_map(self) -> NDArray[np.uint16]:
        """Return the outlines as (H, W), 0 is skin; raises ImageFormatError.

        Where outlines overlap, the earlier one keeps the pixels.
        """
        try:
            masks = [_mask(one["segmentation"], self.size) for one in self.annotations]
            labels = [one.get(OURS, {}).get("label") for one in self.annotations]
            return stacked(masks, labels, size=self.size)
        except NONSENSE as error:
            raise _does_not_fit(self.path, self.file_name) from error


def write(
    project: AnnotationProject,
    ids: Sequence[str],
    output: Path,
    *,
    outline: Outline = "rle",
    overwrite: bool = False,
    step: Step = silent,
) -> Written:
    """Write one JSON file about all images.

    Parameters
    ----------
    project : AnnotationProject
        Where the masks are.
    ids : sequence of str
        Of annotated images.
    output : Path
        The file; see `whole_file`.
    outline : {"rle", "polygons"}
        Run lengths, or polygons along the pixels' edges; a hole is cut open.
    overwrite : bool
        Whether the file may be replaced.
    step : callable
        Told how far it is.

    Raises
    ------
    ProjectError, OutputError
        If a mask is missing, or the file cannot be written.
    MissingPackageError
        If pycocotools is not installed.
    """
    require("pycocotools", task="COCO")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with whole_file(output, overwrite=overwrite) as partial:
        for subject in subjects(project, ids, step):
            name = subject.stem + Path(subject.record.source).suffix
            label_map = project.label_map(subject.id)
            images.append(
                _image(len(images) + 1, name, label_map.shape, image_id=subject.id)
            )
            first = len(annotations) + 1
            annotations += _annotations(label_map, len(images), first, outline)
        text = json.dumps(_document(images, annotations))
        partial.write_text(text, encoding="utf-8")
    return Written(output, len(images), len(annotations))


def document_of(
    label_map: NDArray[np.uint16], *, file_name: str, outline: Outline = "rle"
) -> dict[str, Any]:
    """Return the COCO document of one label map (H, W)."""
    require("pycocotools", task="COCO")
    images = [_image(1, file_name, label_map.shape)]
    return _document(images, list(_annotations(label_map, 1, 1, outline)))


def read(path: Path) -> Iterator[CocoImage]:
    """Yield the images that have outlines, in the order of the file.

    Raises
    ------
    ImageFormatError
        If the file is no COCO file, or an image in it has no sensible size.
    MissingPackageError
        If pycocotools is not installed.
    """
    require("pycocotools", task="COCO")
    try:
        document = read_json(path)
        images = {image["id"]: image for image in document["images"]}
        on_image: dict[Any, list[dict[str, Any]]] = {image: [] for image in images}
        for annotation in document["annotations"]:
            if annotation.get("segmentation"):
                on_image[annotation["image_id"]].append(annotation)
    except OSError as error:
        raise ImageFormatError(
            f"{path} cannot be read ({error.strerror}); check its name and permissions."
        ) from error
    except NONSENSE as error:
        raise ImageFormatError(
            f"{path} is no COCO file (JSON with images and annotations); choose"
            " another one."
        ) from error
    for number, annotations in on_image.items():
        if annotations:
            yield _read_image(path, images[number], annotations)


def _document(
    images: list[dict[str, Any]], annotations: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "info": {"description": "Skin lesions", "version": __version__},
        "licenses": [],
        "categories": [_LESION],
        "images": images,
        "annotations": annotations,
    }


def _image(
    number: int, file_name: str, size: tuple[int, ...], *, image_id: str = ""
) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": file_name,
        "height": size[0],
        "width": size[1],
        OURS: {"id": image_id},
    }


def _annotations(
    label_map: NDArray[np.uint16], image: int, first: int, outline: Outline
) -> Iterator[dict[str, Any]]:
    from pycocotools import mask as coco_masks

    for number, label in enumerate(present_labels(label_map), start=first):
        mask = np.asarray(label_map == label)
        run_lengths = coco_masks.encode(np.asfortranarray(mask, dtype=np.uint8))
        segmentation: Any = {
            "size": list(mask.shape),
            "counts": run_lengths["counts"].decode("ascii"),
        }
        if outline == "polygons":
            segmentation = [ring.ravel().tolist() for ring in polygons(mask)]
        yield {
            "id": number,
            "image_id": image,
            "category_id": _LESION["id"],
            "iscrowd": 0,
            "area": int(mask.sum()),
            "bbox": [float(edge) for edge in coco_masks.toBbox(run_lengths)],
            "segmentation": segmentation,
            OURS: {"label": label},
        }


def _read_image(
    path: Path, image: dict[str, Any], annotations: list[dict[str, Any]]
) -> CocoImage:
    try:
        name = str(image.get("file_name", "")).replace("\\", "/").rpartition("/")[2]
        size = (int(image["height"]), int(image["width"]))
        if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
            raise ValueError(size)
        own_id = str(image.get(OURS, {}).get("id", ""))
        return CocoImage(name, own_id, path, size, annotations)
    except NONSENSE as error:
        raise _does_not_fit(path, "an image") from error


def _does_not_fit(path: Path, name: str) -> ImageFormatError:
    return ImageFormatError(
        f"{path} has an outline on {name or 'an image without a name'} that does not"
        " fit the image; export it once more."
    )


def _mask(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return an outline as a mask (H, W); ValueError or so if it makes no sense."""
    from pycocotools import mask as coco_masks

    height, width = size
    if isinstance(segmentation, list):
        if not all(len(ring) >= 6 and len(ring) % 2 == 0 for ring in segmentation):
            raise ValueError("no polygon")
        coded = coco_masks.merge(coco_masks.frPyObjects(segmentation, height, width))
        return np.asarray(coco_masks.decode(coded), dtype=bool)
    if tuple(map(int, segmentation["size"])) != size:
        raise ValueError("another size")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        lengths = np.asarray(counts, dtype=np.int64)
        if lengths.min(initial=0) < 0 or lengths.sum() != height * width:
            raise ValueError("another length")
    coded = (
        coco_masks.frPyObjects(segmentation, height, width)
        if isinstance(counts, list)
        else {"size": [height, width], "counts": counts.encode("ascii")}
    )
    if int(coco_masks.area(coded)) > height * width:
        raise ValueError("another length")
    return np.asarray(coco_masks.decode(coded), dtype=bool)
