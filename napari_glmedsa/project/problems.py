"""What is wrong in a project's folder, one sentence each."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from napari_glmedsa.calibration import read_calibration
from napari_glmedsa.errors import GLMedSAError
from napari_glmedsa.project.annotations import check_label_map, decode_label_map
from napari_glmedsa.project.folder import ProjectFolder
from napari_glmedsa.project.history import RunHistory, RunUse, first_trainings
from napari_glmedsa.project.journal import Journal
from napari_glmedsa.project.photographs import ImageRecord
from napari_glmedsa.project.splits import Split

_NAMES_SHOWN = 10


def find_problems(folder: ProjectFolder) -> Iterator[str]:
    """Read every image and mask of a project; yield a sentence for each that is bad."""
    for image in sorted(
        {*folder.ids("images", ".json"), *folder.ids("images", ".png")}
    ):
        yield from _image_problems(folder, image)
    for image in sorted(
        {*folder.ids("masks", ".png"), *folder.ids("prompts", ".json")}
    ):
        yield from _mask_problems(folder, image)
    for image in folder.ids("work", ".journal"):
        try:
            Journal(folder.work(image, ".journal"), image).read()
        except GLMedSAError as error:
            yield str(error)


def find_straddling(
    records: Sequence[ImageRecord],
    groups: Iterable[Collection[str]],
    splits: Mapping[str, Split],
) -> Iterator[str]:
    """Yield a sentence for every group whose images are in more than one split."""
    sources = {record.id: record.source for record in records}
    for group in groups:
        dealt = [image for image in sorted(group) if image in splits]
        parts = {splits[image]: sources[image] for image in dealt}
        if len(parts) > 1:
            places = ", ".join(f"{source} in {part}" for part, source in parts.items())
            yield (
                "Images that look alike or have one group are in several splits"
                f" ({places}), so measured figures are too good; keep one of them."
            )


def find_leaks(
    records: Sequence[ImageRecord], folder: ProjectFolder, history: RunHistory
) -> Iterator[str]:
    """Yield a sentence for every image that has trained and is, or was, held out."""
    for plan in history.unreadable():
        yield (
            f"{plan} is damaged, so it is not known what the run has learnt from; put"
            " it back from a copy."
        )
    uses, dealt = history.uses(), folder.read_deal().splits
    trained = first_trainings(uses)
    sources = {record.id: record.source for record in records}
    for record in records:
        for part in {record.split, dealt.get(record.id)} - {"train", None}:
            if record.id in trained:
                yield (
                    f"{record.source} is to be in the {part} part, but has trained in"
                    f" the run {trained[record.id]}; it stays in the training part, so"
                    " hold out another image."
                )
    for index, use in enumerate(uses):
        yield from _run_leaks(use, first_trainings(uses[:index]), sources)


def _run_leaks(
    use: RunUse, trained_before: Mapping[str, str], sources: Mapping[str, str]
) -> Iterator[str]:
    leaked = sorted(use.held_out & trained_before.keys())
    if leaked:
        names = ", ".join(sources.get(image, image) for image in leaked[:_NAMES_SHOWN])
        more = len(leaked) - _NAMES_SHOWN
        rest = f" and {more} more" if more > 0 else ""
        runs = ", ".join(sorted({trained_before[image] for image in leaked}))
        yield (
            f"The run {use.run} was judged on images that had trained in {runs}"
            f" ({names}{rest}), so its figures are too good; train once more."
        )


def _image_problems(folder: ProjectFolder, image: str) -> Iterator[str]:
    files = folder.photograph(image)
    try:
        pixels = files.read_pixels()
    except GLMedSAError as error:
        yield str(error)
        return
    record = files.read()
    if record is None:
        yield (
            f"{files.record} is missing or damaged, so the image is not used; add the"
            " original once more."
        )
    elif record.size != pixels.shape[:2]:
        yield (
            f"{files.record} says that the image is {_pixels(record.size)} pixels, but"
            f" it is {_pixels(pixels.shape[:2])}; put the record back from a copy."
        )
    try:
        read_calibration(folder.root, image)
    except GLMedSAError as error:
        yield str(error)


def _pixels(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, reversed(size)))


def _mask_problems(folder: ProjectFolder, image: str) -> Iterator[str]:
    files, record = folder.annotation(image), folder.photograph(image).read()
    found = files.read()
    if found is None:
        yield (
            f"{files.mask} and {files.prompts} are not both there or do not belong"
            " together, so the mask is not used; annotate the image once more."
        )
    elif record is None:
        yield f"{files.mask} has no image in the project; add its image once more."
    else:
        annotation, png = found
        try:
            label_map = decode_label_map(png)
            check_label_map(label_map, record.size, n_objects=len(annotation.objects))
        except GLMedSAError as error:
            yield f"{files.mask}: {error}"
