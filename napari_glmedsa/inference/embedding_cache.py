"""Embeddings kept for the next time: the latest in memory, more of them on disk."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from napari_glmedsa import __version__
from napari_glmedsa.errors import CheckpointError
from napari_glmedsa.files import sha256_array
from napari_glmedsa.tensors import open_safetensors, write_safetensors

if TYPE_CHECKING:  # a window makes a cache before torch is there
    import torch

    from napari_glmedsa.inference.embedding import ImageEmbedding

logger = logging.getLogger(__name__)

MEMORY_BYTES = 256 << 20
"""64 embeddings of a SAM of 1024 pixels."""
DISK_BYTES = 2 << 30
"""1000 of them, in half the bytes."""

_OURS = re.compile(r"[0-9a-f]{64}\.safetensors")
_PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial")
_ABANDONED = 3600.0  # seconds after which nobody is still writing a file


class EmbeddingCache:
    """Gives back embeddings by their keys.

    Whatever is wrong with the disk only costs time: an entry that is not exactly what
    this version wrote counts as missing, and one that cannot be written is not kept.
    Several processes may share the folder; a cache itself belongs to one thread.

    Parameters
    ----------
    folder
        Holds ``<key>.safetensors``, float16; made when first needed. None keeps
        nothing on disk.
    memory_bytes, disk_bytes
        At most so much is kept; what was not used for longest goes first. On disk
        each process may be over it by a sixteenth for a while.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        memory_bytes: int = MEMORY_BYTES,
        disk_bytes: int = DISK_BYTES,
    ) -> None:
        self.folder = folder
        self.memory_bytes = memory_bytes
        self.disk_bytes = disk_bytes
        self._kept: OrderedDict[str, ImageEmbedding] = OrderedDict()
        self._unchecked = 0  # bytes that may be written before the folder is looked at

    def __contains__(self, key: str) -> bool:
        path = self._path(key)
        return key in self._kept or (path is not None and _is_file(path))

    def get(self, key: str, *, device: torch.device) -> ImageEmbedding | None:
        """Return the embedding of that key on the device, or None.

        What was on disk is rounded to float16, which moves a mask by a pixel of its
        edge here and there.
        """
        embedding = self._kept.get(key) or self._read(key)
        if embedding is None:
            return None
        self._remember(embedding)
        return replace(embedding, features=embedding.features.to(device))

    def put(self, embedding: ImageEmbedding) -> None:
        """Keep an embedding, in memory and on disk."""
        embedding = replace(embedding, features=embedding.features.cpu())
        self._remember(embedding)
        path = self._path(embedding.key)
        if path is not None:
            try:
                self._write(path, embedding)
            except (OSError, SafetensorError) as error:
                logger.debug("embedding not kept on disk: %s", error)

    def _remember(self, embedding: ImageEmbedding) -> None:
        kept = self._kept
        kept[embedding.key] = embedding
        kept.move_to_end(embedding.key)
        while kept and sum(map(_n_bytes, kept.values())) > self.memory_bytes:
            kept.popitem(last=False)

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.safetensors"

    def _read(self, key: str) -> ImageEmbedding | None:
        path = self._path(key)
        if path is None or not _is_file(path):
            return None
        import torch

        from napari_glmedsa.inference.embedding import ImageEmbedding

        # A folder that may only be read is of use, too.
        try:
            with open_safetensors(path, "pt") as file:
                header = file.metadata() or {}
                features = file.get_tensor("features")
            if features.dtype != torch.float16:
                raise CheckpointError(f"{path.name} holds {features.dtype}.")
            original_size, input_size = header["original_size"], header["input_size"]
            if header["digest"] != _digest(key, original_size, input_size, features):
                raise CheckpointError(f"{path.name} is not what was written.")
        # RuntimeError: another process deletes the file just now.
        except (CheckpointError, KeyError, RuntimeError) as error:
            logger.debug("embedding on disk not used: %s", error)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # used now: not among the first to go
        return ImageEmbedding(
            features.float(), _size(original_size), _size(input_size), key
        )

    def _write(self, path: Path, embedding: ImageEmbedding) -> None:
        features = embedding.features.half()
        if not features.isfinite().all():
            logger.debug("embedding not kept on disk: too large for float16")
            return
        original_size, input_size = (
            " ".join(map(str, size))
            for size in (embedding.original_size, embedding.input_size)
        )
        header = {
            "original_size": original_size,
            "input_size": input_size,
            "digest": _digest(embedding.key, original_size, input_size, features),
        }
        # Photographs of patients: nobody else's business on a computer of many.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_safetensors(path, {"features": features.contiguous()}, metadata=header)
        self._unchecked -= path.stat().st_size
        if self._unchecked < 0:
            self._make_room(path.parent)

    def _make_room(self, folder: Path) -> None:
        """Delete what was not used for longest, and nothing that is not ours."""
        slack = self.disk_bytes // 16
        entries, total = [], 0
        with os.scandir(folder) as found:
            for entry in found:
                with suppress(OSError):  # another process has deleted it
                    status = entry.stat(follow_symlinks=False)
                    if _OURS.fullmatch(entry.name):
                        entries.append((status.st_mtime_ns, status.st_size, entry.path))
                        total += status.st_size
                    elif (
                        _PARTIAL.fullmatch(entry.name)
                        and status.st_mtime < time.time() - _ABANDONED
                    ):
                        Path(entry.path).unlink()
        if total > self.disk_bytes:
            for _, size, path in sorted(entries):
                with suppress(OSError):
                    Path(path).unlink()
                    total -= size
                if total <= self.disk_bytes - slack:
                    break
        self._unchecked = min(slack, self.disk_bytes - total)


def _is_file(path: Path) -> bool:
    """Say whether a file is there and may be seen; a folder of others may be closed."""
    try:
        return path.is_file()
    except OSError:
        return False


def default_cache_folder() -> Path:
    """Return ``embeddings`` in ``$NAPARI_GLMEDSA_CACHE``, else in the user's cache."""
    if named := os.environ.get("NAPARI_GLMEDSA_CACHE"):
        return Path(named).expanduser() / "embeddings"
    from platformdirs import user_cache_path

    return user_cache_path("napari-glmedsa", appauthor=False) / "embeddings"


def _n_bytes(embedding: ImageEmbedding) -> int:
    return embedding.features.numel() * embedding.features.element_size()


def _digest(
    key: str, original_size: str, input_size: str, features: torch.Tensor
) -> str:
    """Return a hash of all that an entry says, and of who says it."""
    values = sha256_array(features.numpy())
    facts = f"{__version__}|{key}|{original_size}|{input_size}|{values}"
    return hashlib.sha256(facts.encode()).hexdigest()


def _size(text: str) -> tuple[int, int]:
    height, width = map(int, text.split())
    return height, width
