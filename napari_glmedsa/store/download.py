"""A base's file fetched into its folder and held to the hash on its card."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from napari_glmedsa.errors import DownloadError
from napari_glmedsa.store.transfer import (
    Asked,
    Patience,
    Report,
    ResumingDownloader,
    disk_refuses,
)

if TYPE_CHECKING:
    from pathlib import Path

    from napari_glmedsa.model import BaseCard
    from napari_glmedsa.store.folder import BaseFolder

logger = logging.getLogger(__name__)


def fetch(
    card: BaseCard,
    folder: BaseFolder,
    *,
    patience: Patience,
    report: Report,
    cancelled: Asked,
) -> Path:
    """Return the file that a card describes, downloaded unless it is there.

    Parameters
    ----------
    card
        Says address, length and hash.
    folder
        Where the file goes; locked by the caller.
    patience, report, cancelled
        As for `ModelStore.download`.

    Raises
    ------
    DownloadError
        If the file cannot be had or written, or is another one.
    """
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # we say ourselves what happens
    folder.tidy()
    downloader = ResumingDownloader(
        folder.partial(card.path.name),
        card.full_bytes,
        patience=patience,
        report=report,
        cancelled=cancelled,
    )
    logger.info("downloading %s from %s", card.name, card.url)
    try:
        pooch.retrieve(
            card.url,
            known_hash=f"sha256:{card.facts['file_sha256']}",
            fname=card.path.name,
            path=folder.path,
            downloader=downloader,
        )
    except ValueError as error:
        raise DownloadError(
            f"What came from {card.url} is not {card.path.name}: its SHA-256 is "
            "another one, so it was thrown away; try again, or get the file elsewhere "
            "and use glmedsa models add."
        ) from error
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        raise disk_refuses(error, folder.path) from error
    return folder.path / card.path.name
