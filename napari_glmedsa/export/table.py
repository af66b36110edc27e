"""A CSV table with one row per lesion: what it measures and where it came from."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from napari_glmedsa.calibration import read_calibration
from napari_glmedsa.export.place import whole_file
from napari_glmedsa.export.subject import Step, Subject, Written, silent, subjects
from napari_glmedsa.measurement import measure, row, write_csv
from napari_glmedsa.measurement.columns import Value
from napari_glmedsa.project import AnnotationProject, Provenance


def write(
    project: AnnotationProject,
    ids: Sequence[str],
    output: Path,
    *,
    overwrite: bool = False,
    step: Step = silent,
) -> Written:
    """Write one file about all images; for parameters and errors see `coco.write`.

    Lengths and areas in mm are only there for images whose scale is known.
    """
    rows: list[dict[str, Value]] = []
    n_images = 0
    splits = project.splits()
    with whole_file(output, overwrite=overwrite) as partial:
        for subject in subjects(project, ids, step):
            rows += _rows(project, subject, splits.get(subject.id, ""))
            n_images += 1
        write_csv(partial, rows)
    return Written(output, n_images, len(rows))


def _rows(
    project: AnnotationProject, subject: Subject, split: str
) -> Iterator[dict[str, Value]]:
    calibration = read_calibration(project.root, subject.id)
    record, objects = subject.record, project.objects(subject.id)
    image: dict[str, Value] = {
        "image": record.source,
        "image_id": record.id,
        "group": record.group,
        "split": split,
        "width": record.size[1],
        "height": record.size[0],
    }
    for measured in measure(
        project.image(record.id),
        project.label_map(record.id),
        mm_per_pixel=None if calibration is None else calibration.mm_per_pixel,
    ):
        known = objects[measured.label - 1 : measured.label] or (Provenance(),)
        scale = "" if calibration is None else calibration.source
        cells = {**image, **row(measured), "scale_from": scale}
        yield {**cells, **_origin(known[0])}


def _origin(provenance: Provenance) -> dict[str, Value]:
    n_lesion = sum(provenance.point_labels)
    return {
        "origin": provenance.origin,
        "annotator": provenance.annotator,
        "accepted": provenance.created,
        "model": provenance.model,
        "hand_edited": "yes" if provenance.hand_edited else "no",
        "lesion_clicks": n_lesion,
        "background_clicks": len(provenance.point_labels) - n_lesion,
        "box": " ".join(f"{edge:g}" for edge in provenance.box or ()),
    }
