"""What the dialog of models knows about each base, and the words for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from napari_glmedsa.model import BaseCard, BaseState
from napari_glmedsa.roots import catalogue
from napari_glmedsa.store import ModelStore, Transfer

Place = Literal["own", "shared", "built-in", "elsewhere"]

_PLACE_WORDS: dict[Place, str] = {"shared": "Shared", "built-in": "Built in"}
_PHASE_WORDS = {
    "waiting": "Waiting",
    "downloading": "Downloading",
    "checking": "Checking",
    "converting": "Installing",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One base model.

    Attributes
    ----------
    name : str
        In the registry.
    state : str
        Installed, available or broken.
    place : str
        Whose folder it lies in, or that it is not on this computer.
    bytes, loaded_bytes : int
        Its size, and how much of a download that broke off is there.
    removable : bool
        Whether there is anything of it in the user's folder.
    needed_by : tuple of str
        Adapters that are here and lack it.
    about, problem : str
        What it is; why it cannot be used.
    """

    name: str
    state: BaseState
    place: Place
    bytes: int
    loaded_bytes: int = 0
    removable: bool = False
    needed_by: tuple[str, ...] = ()
    about: str = ""
    problem: str = ""

    @property
    def share(self) -> int:
        """Return how much of it is downloaded, in percent."""
        return percent(self.loaded_bytes, self.bytes)


@dataclass(frozen=True, slots=True)
class Activity:
    """What is being done, or was last done, with a model.

    Attributes
    ----------
    kind : str
        What it is; ``"failed"`` and ``"verified"`` are over.
    share : int
        Percent.
    reason : str
        Why it failed.
    """

    kind: Literal["working", "failed", "verified"]
    words: str = ""
    share: int = 0
    reason: str = ""


def look(store: ModelStore) -> tuple[Row, ...]:
    """Read what there is; not for the Qt thread."""
    broken = store.registry.broken_bases()
    wanted = store.registry.specs_to_download()
    rows = [
        Row(
            name=card.name,
            state=card.state,
            place=_place(card, store),
            bytes=card.bytes if card.installed else card.full_bytes,
            loaded_bytes=store.loaded_bytes(card),
            removable=store.owns(card.name),
            needed_by=tuple(str(s.adapter) for s in wanted if s.base == card.name),
            about=_about(card),
            problem=broken.pop(card.name, ""),
        )
        for card in store.registry.bases()
    ]
    rows += [
        Row(name, "broken", "own", 0, removable=store.owns(name), problem=problem)
        for name, problem in broken.items()
    ]
    return tuple(rows)


def working(step: Transfer) -> Activity:
    """Return what a step of a transfer looks like."""
    share = percent(step.done, step.total)
    words = _PHASE_WORDS[step.phase]
    return Activity("working", f"{words} {share} %" if step.total else words, share)


def state_words(row: Row, activity: Activity | None) -> str:
    """Return how a model is, in a word or two."""
    if activity is not None and activity.kind == "working":
        return activity.words
    if activity is not None and activity.kind == "failed":
        return "Failed"
    if row.state == "broken":
        return "Broken"
    if row.state == "available":
        return f"{row.share} % here" if row.loaded_bytes else "Available"
    if activity is not None:
        return "Verified"
    return _PLACE_WORDS.get(row.place, "Installed")


def size_words(size: int) -> str:
    """Return a size as people say it."""
    if not size:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def detail_words(row: Row, activity: Activity | None) -> str:
    """Return a few sentences about a model, the trouble first."""
    said: Sequence[str] = (
        activity.reason if activity and activity.kind == "failed" else "",
        row.problem,
        f"Needed by {', '.join(row.needed_by)}." if row.needed_by else "",
        row.about,
    )
    return " ".join(sentence for sentence in said if sentence)


def percent(done: int, total: int) -> int:
    """Return a share in whole percent; 100 only when everything is there."""
    return 100 * done // total if total else 0


def _about(card: BaseCard) -> str:
    facts = (card.description, f"Licence: {card.licence}" if card.licence else "")
    return " ".join(f"{fact.rstrip('.')}." for fact in facts if fact)


def _place(card: BaseCard, store: ModelStore) -> Place:
    if not card.installed:
        return "elsewhere"
    root = card.path.parents[2]
    if root == store.registry.root:
        return "own"
    return "built-in" if root == catalogue() else "shared"
