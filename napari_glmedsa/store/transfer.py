"""One file over HTTP: gone on with where it broke off, in use only if it is whole."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_glmedsa.errors import Cancelled, DownloadError

if TYPE_CHECKING:  # requests is slow to import, so only what needs it does
    from pathlib import Path

    from requests import Response

_CHUNK = 1 << 16
_CANCEL_CHECK = 0.1  # seconds

Phase = Literal["waiting", "downloading", "checking", "converting"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """How far a file has come.

    Parameters
    ----------
    phase
        What is being done: waiting for another program, and so on.
    done, total
        Bytes; 0 of 0 where there is nothing to count.
    """

    phase: Phase
    done: int = 0
    total: int = 0


Report = Callable[[Transfer], object]
Asked = Callable[[], bool]


def nobody(_: Transfer) -> None:
    """Report to nobody."""


def never() -> bool:
    """Say that nobody calls the work off."""
    return False


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a download holds out.

    Parameters
    ----------
    connect, stall
        Seconds until a server must answer, and in which something must come.
    attempts
        How often to begin or go on; what came before is kept.
    pause
        Seconds before the second attempt; twice as long before each later one.
    """

    connect: float = 10.0
    stall: float = 20.0
    attempts: int = 4
    pause: float = 1.0


class Interrupted(Exception):
    """A connection broke off: another attempt may do better."""


class ResumingDownloader:
    """A downloader for pooch that goes on from a ``.part`` file.

    Parameters
    ----------
    partial
        Where bytes are collected; it stays there when the download breaks off.
    size
        Bytes that the file must have.
    """

    def __init__(
        self,
        partial: Path,
        size: int,
        *,
        patience: Patience = Patience(),
        report: Report = nobody,
        cancelled: Asked = never,
    ) -> None:
        self._partial = partial
        self._size = size
        self._patience = patience
        self._report = report
        self._cancelled = cancelled

    def __call__(
        self, url: str, output_file: str, pooch: object, check_only: bool = False
    ) -> None:
        """Fetch `url` into `output_file`, as pooch asks for it.

        Raises
        ------
        DownloadError
            One sentence; what has come stays in the ``.part`` file.
        Cancelled
            When it is called off; likewise.
        """
        pause = self._patience.pause
        for attempt in range(1, self._patience.attempts + 1):
            try:
                self._go_on(url)
                break
            except Interrupted as interruption:
                if attempt == self._patience.attempts:
                    raise DownloadError(
                        f"{_file(url)} could not be downloaded because {interruption}; "
                        "try again later, what has come is kept."
                    ) from interruption
                self._wait(pause)
                pause *= 2
        self._report(Transfer("checking", self._size, self._size))
        self._partial.replace(output_file)

    def _go_on(self, url: str) -> None:
        import requests

        if (have := self._have()) == self._size:
            return
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        limits = (self._patience.connect, self._patience.stall)
        try:
            with requests.get(
                url, headers=headers, stream=True, timeout=limits
            ) as response:
                self._take(response, self._start(response, have))
        except requests.Timeout as error:
            raise Interrupted(f"{_host(url)} does not answer") from error
        except (
            requests.ConnectionError,
            requests.exceptions.ChunkedEncodingError,
        ) as e:
            raise Interrupted(_reason(e, url, self._patience.stall)) from e
        except requests.RequestException as error:
            raise DownloadError(
                f"{_file(url)} cannot be downloaded from {url} ({error}); check the "
                "address in the model's card."
            ) from error
        if (have := self._have()) < self._size:
            raise Interrupted(
                f"the connection ended after {have:,} of {self._size:,} bytes"
            )

    def _have(self) -> int:
        """Return how many bytes there are; a file that is too long is no beginning."""
        have = self._partial.stat().st_size if self._partial.is_file() else 0
        if have <= self._size:
            return have
        self._partial.unlink()
        return 0

    def _start(self, response: Response, have: int) -> int:
        """Return at which byte the answer starts, or raise what it means."""
        status, total = response.status_code, response.headers.get("Content-Length")
        if status in (408, 425, 429) or status >= 500:
            raise Interrupted(f"the server answers {status} {response.reason}")
        start = 0
        if status == 206:
            about = response.headers.get("Content-Range", "")
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", about.strip())
            start, total = (int(match[1]), match[2]) if match else (-1, None)
        if status == 416 or (status == 206 and start != have):
            self._partial.unlink(missing_ok=True)  # the server does not know this part
            raise Interrupted("the server cannot go on from where it broke off")
        if status not in (200, 206):
            raise DownloadError(
                f"{_file(response.url)} is not to be had: {_host(response.url)} "
                f"answers {status} {response.reason}; look for a newer version of this "
                "program, or get the file elsewhere and use glmedsa models add."
            )
        if total and total.isdecimal() and int(total) != self._size:
            raise DownloadError(
                f"{_host(response.url)} has another file of {int(total):,} bytes "
                f"instead of {self._size:,} in the place of {_file(response.url)}; "
                "check that no login page or proxy answers, and try again."
            )
        return start

    def _take(self, response: Response, start: int) -> None:
        done = start
        self._report(Transfer("downloading", done, self._size))
        with (
            _writing(self._partial),
            self._partial.open("ab" if start else "wb") as stream,
        ):
            for chunk in response.iter_content(_CHUNK):
                if self._cancelled():
                    raise Cancelled
                done += len(chunk)
                if done > self._size:
                    raise Interrupted("the server sends more than the file has")
                stream.write(chunk)
                self._report(Transfer("downloading", done, self._size))

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._cancelled():
                raise Cancelled
            time.sleep(min(left, _CANCEL_CHECK))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into one sentence; the network's errors pass."""
    from requests import RequestException

    try:
        yield
    except RequestException:  # an OSError, too
        raise
    except OSError as error:
        raise disk_refuses(error, path) from error


def disk_refuses(error: OSError, path: Path) -> DownloadError:
    """Return the sentence for a file that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DownloadError(
            f"The disk is full: {path} cannot grow any more; free some space and go "
            "on, what has come is kept."
        )
    return DownloadError(
        f"{path} cannot be written ({error.strerror or error}); check the "
        "permissions of its folder."
    )


def _reason(error: Exception, url: str, stall: float) -> str:
    from urllib3.exceptions import (
        NameResolutionError,
        NewConnectionError,
        ReadTimeoutError,
    )

    cause = error.args[0] if error.args else None
    cause = getattr(cause, "reason", cause)
    if isinstance(cause, ReadTimeoutError):
        return f"nothing came from {_host(url)} for {stall:g} seconds"
    if isinstance(cause, NameResolutionError):
        return f"there is no network, or no host {_host(url)}"
    if isinstance(cause, NewConnectionError):
        return f"{_host(url)} cannot be reached; is there a network?"
    return f"the connection to {_host(url)} broke off"


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or url


def _file(url: str) -> str:
    return url.rpartition("/")[2].partition("?")[0] or url
