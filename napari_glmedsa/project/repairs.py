"""What can be mended in a project's folder without the originals, only if asked."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from napari_glmedsa.calibration import calibration_file, read_calibration
from napari_glmedsa.errors import GLMedSAError, ProjectError
from napari_glmedsa.files import NONSENSE, read_json
from napari_glmedsa.project.annotations import (
    Annotation,
    check_label_map,
    decode_label_map,
)
from napari_glmedsa.project.folder import ProjectFolder
from napari_glmedsa.project.photographs import ImageRecord
from napari_glmedsa.provenance import Provenance


def repair(root: Path) -> list[str]:
    """Mend what follows from the other files; return a sentence for each.

    The files before go into the project's folder ``aside``, so nothing is lost. What
    needs the original photograph, or somebody who outlines it, stays as it is.

    Parameters
    ----------
    root : Path
        The project's folder.

    Raises
    ------
    OutputError
        If the project cannot be written to.
    """
    folder = ProjectFolder(root)
    with folder.writing():  # nobody else writes meanwhile
        return list(_repair(folder))


def _repair(folder: ProjectFolder) -> Iterator[str]:
    for image in folder.ids("images", ".png"):
        yield from _repair_record(folder, image)
        yield from _repair_scale(folder, image)
    for image in folder.ids("masks", ".png"):
        yield from _repair_mask(folder, image)
    try:
        folder.read_deal()
    except ProjectError:
        _put_aside(folder, folder.root / "splits.json", keep=False)
        yield "splits.json was damaged: the images are split anew."


def _repair_record(folder: ProjectFolder, image: str) -> Iterator[str]:
    files = folder.photograph(image)
    try:
        pixels = files.read_pixels()
    except GLMedSAError:
        return
    known = files.read()
    if known is not None and known.size == pixels.shape[:2]:
        return
    made = ImageRecord.of(pixels, source=files.pixels.name)
    if known is not None:
        made = replace(made, source=known.source, group=known.group, split=known.split)
    _put_aside(folder, files.record)
    files.write_record(made)
    lost = "" if known else "; what its file was called is not known any more"
    yield f"The record of image {image} was made anew from its pixels{lost}."


def _repair_scale(folder: ProjectFolder, image: str) -> Iterator[str]:
    try:
        read_calibration(folder.root, image)
    except ProjectError:
        _put_aside(folder, calibration_file(folder.root, image), keep=False)
        yield f"The scale of image {image} was damaged: calibrate it once more."


def _repair_mask(folder: ProjectFolder, image: str) -> Iterator[str]:
    files, record = folder.annotation(image), folder.photograph(image).read()
    if files.read() is not None or record is None:
        return
    try:
        label_map = decode_label_map(files.mask.read_bytes())
        n_objects = int(label_map.max(initial=0))
        check_label_map(label_map, record.size, n_objects=n_objects)
    except (GLMedSAError, OSError):
        return
    known = _objects(files.prompts)
    by_hand = [
        replace(one, hand_edited=True)
        for one in (*known, *[Provenance(origin="import")] * n_objects)[:n_objects]
    ]
    for file in (files.mask, files.prompts):
        _put_aside(folder, file)
    files.write(label_map, by_hand)
    yield f"The mask of image {image} was taken as it is, as edited by hand."


def _objects(prompts: Path) -> tuple[Provenance, ...]:
    try:
        return Annotation.from_json(read_json(prompts)).objects
    except (OSError, *NONSENSE):
        return ()


def _put_aside(folder: ProjectFolder, file: Path, *, keep: bool = True) -> None:
    """Copy a file into ``aside``, or with ``keep=False`` move it there."""
    if file.exists():
        aside = folder.root / "aside"
        aside.mkdir(exist_ok=True)
        there = aside / f"{file.stem}-{uuid4().hex[:8]}{file.suffix}"
        if keep:
            shutil.copy2(file, there)
        else:
            file.rename(there)
