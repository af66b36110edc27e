"""Unfinished work put back on the screen, and what the user is told about it."""

from __future__ import annotations

import numpy as np
from napari.utils.notifications import show_info, show_warning

from napari_glmedsa.history import Document
from napari_glmedsa.inference.prompts import Prompts
from napari_glmedsa.ui import steps
from napari_glmedsa.ui.episode import Episode
from napari_glmedsa.ui.layers import LayerTrio
from napari_glmedsa.ui.photograph import Bookmarks
from napari_glmedsa.ui.work_desk import Found
from napari_glmedsa.ui.workbench import Workbench


def restore(bench: Workbench, trio: LayerTrio, found: Found) -> bool:
    """Show what was found; what the user has pointed at meanwhile is added to it.

    If there is more on the screen already, that counts, and what was found stays as a
    file that is put aside.

    Parameters
    ----------
    bench : Workbench
        At the image.
    trio : LayerTrio
        Its layers.
    found : Found
        Ours alone; from now on, steps go into its journal.

    Returns
    -------
    bool
        Whether what was found, if anything was, is on the screen now.
    """
    episode, restored = bench.episode, found.restored
    if episode is None:
        return False
    if restored is None or not (_is_pointed_at(episode) or _is_kept(trio, found)):
        if restored is not None:
            show_warning(
                "Work on this photograph from before was put aside: there is newer."
            )
        episode.write_into(found.anew)
        return restored is None
    pointed_at = trio.prompts()
    document = Document(
        restored.label_map,
        restored.sheet,
        history=restored.history,
        journal=found.journal,
    )
    bench.restore(document, found.journal)
    document.save()  # if it comes from elsewhere
    _note(Bookmarks.of(trio), found)
    _tell(found)
    if not pointed_at.is_empty:
        trio.show_prompts(_both(restored.sheet.prompts, pointed_at))
        episode.note(steps.CLICK)
        bench.look()
    return True


def is_untouched(document: Document) -> bool:
    """Say whether there is nothing that is worth being restored."""
    known = document.history.steps
    return (
        not document.label_map.any()
        and document.sheet.prompts.is_empty
        and not any(step.before.objects or step.after.objects for step in known)
    )


def _is_pointed_at(episode: Episode) -> bool:
    """Say whether nothing was done but clicks and strokes, which can be repeated."""
    done = {step.name for step in episode.history.steps}
    return done <= steps.POINTING and not episode.document.sheet.objects


def _both(before: Prompts, later: Prompts) -> Prompts:
    """Return two sets of prompts as one; a later box and mask hold."""
    return Prompts(
        np.vstack([before.point_coords, later.point_coords]),
        np.concatenate([before.point_labels, later.point_labels]),
        box=before.box if later.box is None else later.box,
        mask_input=before.mask_input if later.mask_input is None else later.mask_input,
    )


def _is_kept(trio: LayerTrio, found: Found) -> bool:
    """Say whether the project has all that is on the screen."""
    marks, folder = Bookmarks.of(trio), found.last.project
    return (
        folder is not None
        and marks.saved.get(folder) == marks.version
        and not trio.mask.object_area
        and trio.prompts().is_empty
    )


def _note(marks: Bookmarks, found: Found) -> None:
    """Note how the screen and the project are related now."""
    marks.version += not found.is_saved
    folder, image = found.last.project, found.last.image
    if folder is None:
        return
    if found.is_theirs:
        marks.saved[folder] = marks.version  # nothing of it is saved unasked
    elif found.state and found.former is None:
        # Whatever the project has, and the screen has not, was removed here.
        marks.seen[folder, image] = found.state


def _tell(found: Found) -> None:
    restored = found.restored
    if restored is None:
        return
    if restored.is_damaged:
        show_warning(
            "A part of what was done on this photograph could not be read: the file was"
            " put aside, and work goes on from where it could be."
        )
    if found.is_theirs:
        show_warning(
            "Somebody else has changed the accepted lesions of this photograph since"
            " you worked on it: compare before you accept."
        )
    n_steps = restored.history.position
    are = "is" if n_steps == 1 else "are"
    number = "1 step" if n_steps == 1 else f"{n_steps} steps"
    show_info(f"{number} from before {are} back.")
