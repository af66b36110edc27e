"""Who works on an image: two annotators of one folder do not overwrite each other."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from filelock import FileLock, Timeout

from napari_glmedsa.errors import OutputError, ProjectError
from napari_glmedsa.files import read_json, write_json
from napari_glmedsa.process_id import ProcessId

RENEW_SECONDS = 20.0
"""How often a claim is to be renewed."""
STALE_SECONDS = 90.0
"""A claim not renewed for so long belongs to somebody who is gone, as it seems."""

_PATIENCE = 10.0  # seconds to wait for others who look at claims, too


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works on an image.

    Parameters
    ----------
    owner
        The annotator; may be empty.
    process
        Of which program.
    since
        When it began, UTC in ISO 8601.
    age
        Seconds since it was last heard of, by the clock here; never negative.
    """

    owner: str
    process: ProcessId
    since: str
    age: float

    @property
    def is_gone(self) -> bool:
        """Whether it was a program of this computer that does not run any more."""
        return self.process.is_here and not self.process.alive

    @property
    def is_stale(self) -> bool:
        """Whether it was not heard of for long; it may have lost its connection."""
        return self.is_gone or self.age > STALE_SECONDS

    def __str__(self) -> str:
        """Return who it is and since when it is silent, for people."""
        who = self.owner or "somebody"
        minutes = round(self.age / 60)
        heard = f"{minutes} min ago" if minutes else "just now"
        return f"{who} on {self.process.host or 'a computer'}, last heard of {heard}"

    @classmethod
    def from_json(cls, document: Mapping[str, Any], *, age: float) -> Self:
        """Read what a `Claim` wrote; raises LookupError or TypeError otherwise."""
        return cls(
            owner=str(document["owner"]),
            process=ProcessId.from_json(document["process"]),
            since=str(document["since"]),
            age=age,
        )


class Claim:
    """One program's claim on one image.

    Parameters
    ----------
    path : Path
        Its file.
    owner : str
        The annotator.
    """

    def __init__(self, path: Path, owner: str) -> None:
        self.path, self.owner = path, owner
        self._token = uuid4().hex
        self._since = ""

    @property
    def is_ours(self) -> bool:
        """Whether the image is ours now, as far as the folder tells."""
        return _read(self.path).get("token") == self._token

    def holder(self) -> Holder | None:
        """Return who else has the image, None if nobody has or we do.

        A program of this computer that does not run any more has nothing, and what
        the same annotator does in this very program is no business of anybody else.
        """
        document = _read(self.path)
        if not self.path.exists() or document.get("token") == self._token:
            return None
        age = _age(self.path)
        try:
            holder = Holder.from_json(document, age=age)
        except (LookupError, TypeError):
            # Half a file, or edited by hand: somebody is there, but who is not known.
            return Holder("", ProcessId("", 0, ""), "", age)
        is_same = (holder.owner, holder.process) == (self.owner, _me())
        return None if holder.is_gone or is_same else holder

    def take(self, *, force: bool = False) -> Holder | None:
        """Claim the image, unless somebody else has it.

        Parameters
        ----------
        force : bool
            Take it over knowingly.

        Returns
        -------
        Holder or None
            Who has it, stale or not; None if it is ours now.

        Raises
        ------
        OutputError
            If the folder cannot be written to.
        ProjectError
            If others keep it locked.
        """
        with self._alone():
            holder = self.holder()
            if holder is not None and not force:
                return holder
            if not self.is_ours:
                self._since = _now()
            self._write()
            return None

    def renew(self) -> Holder | None:
        """Say that we still work on the image; do so every `RENEW_SECONDS`.

        Returns
        -------
        Holder or None
            Who has taken it over; None if it is ours still, or again: a claim that was
            swept away is made anew.

        Raises
        ------
        OutputError, ProjectError
            As `take`.
        """
        return self.take()

    def release(self) -> None:
        """Give the image back; may be called again. Raises as `take`."""
        if self.is_ours:
            with self._alone():
                if self.is_ours:
                    self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        document = {
            "schema_version": 1,
            "owner": self.owner,
            "process": _me().to_json(),
            "since": self._since,
            "heartbeat": _now(),
            "token": self._token,
        }
        write_json(self.path, document)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let nobody claim anything between what is read and written meanwhile."""
        folder = self.path.parent
        try:
            folder.mkdir(exist_ok=True)
            with FileLock(folder / ".lock", timeout=_PATIENCE):
                yield
        except Timeout as error:
            raise ProjectError(
                f"Another program keeps {folder} locked; close it, then try again."
            ) from error
        except OSError as error:
            raise OutputError(
                f"{folder} cannot be written to ({error.strerror or error}), so nobody"
                " sees that you work on this image; give it room and permission."
            ) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        document = read_json(path)
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _age(path: Path) -> float:
    # By the file's time: what the other computer's clock says does not matter.
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return 0.0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _me() -> ProcessId:
    return ProcessId.of(os.getpid())
