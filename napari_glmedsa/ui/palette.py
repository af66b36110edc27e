"""Readers and writers in napari's command palette, where nobody gives them a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from napari.utils.notifications import show_info

F = TypeVar("F", bound=Callable[..., Any])

TO_OPEN = "Files are opened with File > Open, or dropped on the window."
TO_SAVE = "Select the Labels layer, then save it with File > Save Selected Layers."


def for_files(otherwise: str) -> Callable[[F], F]:
    """Let a function of the manifest say a sentence if it is called without a file.

    napari lists all commands in its palette, those that only make sense with a file
    included.

    Parameters
    ----------
    otherwise : str
        The sentence: where the user finds it.
    """

    def guard(function: F) -> F:
        # Without `wraps`: napari would look for somebody who provides a path.
        def guarded(
            path: str | Sequence[str] = "", data: Any = None, meta: Any = None
        ) -> Any:
            if path:
                rest = () if meta is None else (data, meta)
                return function(path, *rest)
            show_info(otherwise)
            return None

        guarded.__name__, guarded.__doc__ = function.__name__, function.__doc__
        return cast("F", guarded)

    return guard
