"""What napari asks to open project folders and DICOM files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari

from napari_glmedsa.errors import ProjectError
from napari_glmedsa.ui.companion import OURS
from napari_glmedsa.ui.palette import TO_OPEN, for_files

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | Sequence[str]], list[LayerData] | list[tuple[None]]]
"""What is read, or how napari wants it said that nothing is to be shown."""

_PROJECT = "project.json"


@for_files(TO_OPEN)
def project_reader(path: str | Sequence[str]) -> Reader | None:
    """Return what opens an annotation project: its folder, or `project.json` in it.

    It opens the photograph that is next: the first without a mask or, if all have one,
    the first, with its mask. The docks Segment and Worklist know which project it is.
    Any other folder is one of photographs to work through; napari asks its user before.
    """
    if _project_folder(path) is not None:
        return read_project
    paths = _paths(path)
    return work_through if len(paths) == 1 and paths[0].is_dir() else None


@for_files(TO_OPEN)
def dicom_reader(path: str | Sequence[str]) -> Reader | None:
    """Return what opens DICOM photographs, and DICOM SEG as labels."""
    from napari_glmedsa.dicom import is_dicom

    return read_dicom_files if all(map(is_dicom, _paths(path))) else None


def read_project(path: str | Sequence[str]) -> list[LayerData]:
    """Return the layers of a project's next photograph.

    Raises
    ------
    ProjectError
        If the project is damaged, or has no photograph yet.
    """
    from napari_glmedsa.project import AnnotationProject

    project = AnnotationProject.open(_project_folder(path) or _paths(path)[0])
    records = sorted(project.images(), key=lambda record: (record.source, record.id))
    if not records:
        raise ProjectError(
            f"The project {project.name} has no photograph yet; add some first, with"
            " Fine-tune > Images…"
        )
    done = set(project.annotated())
    record = next((one for one in records if one.id not in done), records[0])
    ours = {
        "image_id": record.id,
        "project": str(project.root),
        "path": str(project.root / "images" / f"{record.id}.png"),
    }
    name = record.source or record.id
    marks = {"name": name, "rgb": True, "metadata": {OURS: ours}}
    layers: list[LayerData] = [(project.image(record.id), marks, "image")]
    if record.id in done:
        mask = {"name": f"{Path(name).stem} accepted"}
        layers.append((project.label_map(record.id), mask, "labels"))
    return layers


def work_through(path: str | Sequence[str]) -> list[tuple[None]]:
    """Open a folder of photographs in the dock Worklist; there is no layer yet.

    Raises
    ------
    ProjectError
        If there is no window to open it in.
    """
    viewer, (folder,) = napari.current_viewer(), _paths(path)
    if viewer is None:
        raise ProjectError(
            f"{folder} is no annotation project; open it in napari's window, or choose"
            " a folder with a project.json."
        )
    _, dock = viewer.window.add_plugin_dock_widget("napari-glmedsa", "Worklist")
    dock.open_folder(folder)
    return [(None,)]


def read_dicom_files(path: str | Sequence[str]) -> list[LayerData]:
    """Return a layer per DICOM file.

    Raises
    ------
    ImageFormatError
        If one is damaged, or neither a photograph nor DICOM SEG.
    MissingPackageError
        If pydicom is not installed.
    """
    from napari_glmedsa.dicom import is_segmentation, read_dicom
    from napari_glmedsa.export.dicom_seg_reader import read

    layers: list[LayerData] = []
    for file in _paths(path):
        if is_segmentation(file):
            layers.append((read(file).label_map, {"name": file.stem}, "labels"))
        else:
            marks = {"name": file.name, "rgb": True}
            layers.append((read_dicom(file), marks, "image"))
    return layers


def _project_folder(path: str | Sequence[str]) -> Path | None:
    paths = _paths(path)
    if len(paths) != 1:
        return None
    folder = paths[0].parent if paths[0].name == _PROJECT else paths[0]
    return folder if (folder / _PROJECT).is_file() else None


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
