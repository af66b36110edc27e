"""Who works on which photograph of a project just now, in other programs."""

import os

from napari_glmedsa.project import AnnotationProject


def held_by_others(project: AnnotationProject) -> dict[str, str]:
    """Return who has each image that somebody works on, in words.

    Claims of this very program, and those that were not renewed for long, are left out.
    """
    held = {}
    for path in (project.root / "work").glob("*.claim"):
        holder = project.claim(path.stem, annotator="").holder()
        if holder is None or holder.is_stale:
            continue
        if not (holder.process.is_here and holder.process.pid == os.getpid()):
            held[path.stem] = str(holder)
    return held
