"""Files of scores: a JSON report of all there is, a CSV sheet of the images."""

import csv
from pathlib import Path
from typing import Any

from napari_glmedsa.cli.inputs import prepare_folder
from napari_glmedsa.cli.score_tables import Scores
from napari_glmedsa.errors import OutputError


def prepare_report(file: Path, option: str) -> None:
    """Find out now, not after an hour, that a file cannot be written."""
    if file.is_dir():
        raise OutputError(f"{file} is a folder; name a file for {option}.")
    if file.exists() and not file.is_file():
        raise OutputError(
            f"{file} is not a regular file; name one for {option}, which is written"
            " anew."
        )
    prepare_folder(file.parent)


def write_report(file: Path, document: dict[str, Any]) -> None:
    """Write a report as JSON; raises OutputError if it cannot be."""
    from napari_glmedsa.files import write_json

    try:
        write_json(file, document)
    except OSError as error:
        raise _not_written(file, "--json", error) from error


def write_sheet(file: Path, result: Scores) -> None:
    """Write one row per image and click as CSV; raises OutputError if it cannot be."""
    from napari_glmedsa.files import atomic_write

    metrics = list(result.images[0][1])
    try:
        with (
            atomic_write(file) as part,
            part.open("w", encoding="utf-8", newline="") as stream,
        ):
            sheet = csv.writer(stream)
            sheet.writerow(["image", "clicks", *metrics])
            for name, values in result.images:
                for click, row in enumerate(zip(*values.values(), strict=True), 1):
                    sheet.writerow([name, click, *row])
    except OSError as error:
        raise _not_written(file, "--csv", error) from error


def _not_written(file: Path, option: str, error: OSError) -> OutputError:
    return OutputError(
        f"{file} cannot be written ({error.strerror}); choose another {option} file."
    )
