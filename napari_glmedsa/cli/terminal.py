"""What the commands say: results on stdout, everything else on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

SOME_FAILED = 1
"""Exit code when some items failed and the others are done."""


def complain(sentence: str, console: Console | None = None) -> None:
    """Print one sentence about a mistake or a failure to stderr."""
    (console or _errors()).print(
        f"[bold red]glmedsa:[/] {escape(sentence)}", highlight=False, soft_wrap=True
    )


def remark(sentence: str) -> None:
    """Print one sentence that is worth knowing to stderr."""
    _errors().print(escape(sentence), highlight=False, soft_wrap=True)


class Teller(Protocol):
    """What a running job tells its user."""

    def result(self, line: str) -> None:
        """Print one line of the result."""

    def failure(self, sentence: str) -> None:
        """Print one sentence about an item that failed."""

    def step(self) -> None:
        """Count one item as done."""


class _Quiet:
    """The teller of a single item: no bar."""

    def result(self, line: str) -> None:
        typer.echo(line)

    def failure(self, sentence: str) -> None:
        complain(sentence)

    def step(self) -> None:
        pass


class _Bar:
    """The teller of several items: a progress bar on stderr."""

    def __init__(self, progress: Progress, total: int, label: str) -> None:
        self._progress = progress
        self._task = progress.add_task(label, total=total)

    def result(self, line: str) -> None:
        console = self._progress.console
        if console.is_terminal and sys.stdout.isatty():
            # Both end on one screen, where only the bar's console can print above.
            console.out(line, highlight=False)
        else:
            typer.echo(line)

    def failure(self, sentence: str) -> None:
        complain(sentence, self._progress.console)

    def step(self) -> None:
        self._progress.advance(self._task)


@contextmanager
def telling(total: int, label: str) -> Iterator[Teller]:
    """Show a progress bar on stderr while more than one item is worked on."""
    if total < 2:
        yield _Quiet()
        return
    with progress_bar() as progress:
        yield _Bar(progress, total, label)


def progress_bar() -> Progress:
    """Return a bar on stderr that is not shown yet."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=_errors(),
        # Results belong to stdout, also while the bar is on the screen.
        redirect_stdout=False,
    )


def _errors() -> Console:
    return Console(stderr=True, emoji=False)
