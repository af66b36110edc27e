"""Which images must stay together: one lesion, one patient, near-duplicates."""

from collections.abc import Iterable, Sequence

from napari_glmedsa.project.lookalikes import find_lookalikes
from napari_glmedsa.project.photographs import ImageRecord


class Groups:
    """Groups images, and compares only those that it has not seen before."""

    def __init__(self) -> None:
        self._hashes: dict[str, str] = {}
        self._pairs: list[tuple[str, str]] = []

    def of(self, records: Sequence[ImageRecord]) -> list[set[str]]:
        """Return disjoint sets of the ids of these images.

        Images with the same given group are together, and so are near-duplicates;
        both relations are followed from image to image.
        """
        hashes = {record.id: record.perceptual_hash for record in records}
        if not self._hashes.items() <= hashes.items():
            self._hashes, self._pairs = {}, []
        new = dict(hashes.items() - self._hashes.items())
        self._pairs += find_lookalikes(new, hashes)
        self._hashes = hashes
        first_of: dict[str, str] = {}
        named = [
            (first_of.setdefault(record.group, record.id), record.id)
            for record in records
            if record.group is not None
        ]
        return _connected(hashes, [*named, *self._pairs])


def _connected(
    images: Iterable[str], pairs: Iterable[tuple[str, str]]
) -> list[set[str]]:
    together = {image: {image} for image in images}
    for first, second in pairs:
        small, large = sorted((together[first], together[second]), key=len)
        if small is not large:
            large |= small
            together |= dict.fromkeys(small, large)
    return list({id(group): group for group in together.values()}.values())
