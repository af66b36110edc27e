"""Natural images with region masks: held-out draws, and training draws with more."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter
from skimage.measure import label as connected_regions
from skimage.segmentation import felzenszwalb

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int32]

HELD_OUT_EVERY = 25  # every 25th image is never trained on
HELD_OUT_MASKS = 3
MIN_AREA, MAX_AREA = 0.005, 0.95  # regions of another share of the crop are left out
# Weights of draws, less varied sets less; those of held-out images stay as they were.
WEIGHTS = {"dsb2018_nuclei": 0.2, "camvid": 0.6, "bsds500": 2.0}
HELD_OUT_WEIGHTS = {"dsb2018_nuclei": 0.25, "camvid": 0.5}
COLOUR_REGIONS, PASTED = 0.25, 0.25  # shares of training crops, see `training_crop`
UNION = 0.15  # share of masks that are two touching regions
COLOUR_SIDE = 128  # pixels, where regions of like colour are sought


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop (h, w, 3) uint8 and its masks, each (h, w) bool."""

    image: Pixels
    masks: list[NDArray[np.bool_]]


class RegionImages:
    """Images with label maps (0 is unknown), decoded once.

    Parameters
    ----------
    root
        Folders with ``images/`` and ``masks/``; several maps of one image end
        in ``__a0.png``, ``__a1.png``, ...
    held_out
        The images never trained on, or all the others.
    """

    def __init__(self, root: Path, *, held_out: bool) -> None:
        self.items: list[tuple[Path, list[Path]]] = []
        weights = HELD_OUT_WEIGHTS if held_out else WEIGHTS
        shares = []
        for folder in sorted(path for path in root.iterdir() if path.is_dir()):
            maps = defaultdict(list)
            for path in sorted((folder / "masks").iterdir()):
                maps[path.stem.split("__a")[0]].append(path)
            images = sorted((folder / "images").iterdir())
            images = [path for path in images if path.stem in maps]
            for index, path in enumerate(images):
                if (index % HELD_OUT_EVERY == 0) == held_out:
                    self.items.append((path, maps[path.stem]))
                    shares.append(weights.get(folder.name, 1.0))
        self.shares = np.array(shares) / np.sum(shares)
        self._images: dict[Path, Pixels] = {}
        self._maps: dict[Path, Labels] = {}

    def held_out_crop(self, size: int, rng: np.random.Generator) -> Crop:
        """Draw a crop, longest side `size`, with up to three connected regions."""
        while True:
            path, maps = self.items[rng.choice(len(self.items), p=self.shares)]
            image = self._image(path)
            labels = np.array(Image.open(maps[rng.integers(len(maps))]).convert("L"))
            image, labels = random_crop(image, labels, size, rng, least=0.4)
            if rng.random() < 0.5:
                image, labels = image[:, ::-1], labels[:, ::-1]
            gain, offset = rng.uniform(0.8, 1.2, 3), rng.uniform(-15, 15)
            image = np.clip(image * gain + offset, 0, 255).astype(np.uint8)
            if masks := connected_pieces(labels, HELD_OUT_MASKS, rng):
                return Crop(image, masks)

    def training_crop(self, size: int, count: int, rng: np.random.Generator) -> Crop:
        """Draw a disturbed crop, longest side `size`, with `count` masks.

        The regions are those of the label map, or (`COLOUR_REGIONS`) regions of
        like colour, which need no label; onto some crops (`PASTED`) an object of
        another image or a smooth blob is pasted first. A mask may come twice: it
        is prompted differently.
        """
        while True:
            image, labels = self._any_crop(size, rng, least=0.12)
            image, labels = turned(image, labels, rng)
            kind = rng.random()
            if kind < COLOUR_REGIONS:
                labels = colour_regions(image, rng)
            elif kind < COLOUR_REGIONS + PASTED:
                other, regions = self._any_crop(max(image.shape[:2]), rng, least=0.12)
                image, labels = pasted(image, labels, other, regions, rng)
            if masks := drawn_masks(labels, count, rng):
                return Crop(disturbed(image, rng), masks)

    def _any_crop(
        self, size: int, rng: np.random.Generator, *, least: float
    ) -> tuple[Pixels, Labels]:
        path, maps = self.items[rng.choice(len(self.items), p=self.shares)]
        regions = self._regions(maps[rng.integers(len(maps))])
        image, labels = random_crop(self._image(path), regions, size, rng, least=least)
        return image.astype(np.uint8), labels

    def _image(self, path: Path) -> Pixels:
        if path not in self._images:
            self._images[path] = np.array(Image.open(path).convert("RGB"))
        return self._images[path]

    def _regions(self, path: Path) -> Labels:
        """Return a label map with every connected region numbered by itself."""
        if path not in self._maps:
            labels = np.array(Image.open(path).convert("L"))
            regions = connected_regions(labels, background=0, connectivity=1)
            self._maps[path] = regions.astype(np.int32)
        return self._maps[path]


def random_crop(
    image: Pixels,
    labels: NDArray[np.integer],
    size: int,
    rng: np.random.Generator,
    *,
    least: float,
) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Crop at least a share `least` of each side squared, and scale to `size`."""
    height, width = labels.shape
    share = rng.uniform(least, 1.0, 2) ** 0.5 if rng.random() < 0.8 else np.ones(2)
    crop_h, crop_w = np.maximum(np.array([height, width]) * share, 32).astype(int)
    crop_h, crop_w = min(crop_h, height), min(crop_w, width)
    top = rng.integers(height - crop_h + 1)
    left = rng.integers(width - crop_w + 1)
    box = (left, top, left + crop_w, top + crop_h)
    scale = size / max(crop_h, crop_w)
    new = (max(1, round(crop_w * scale)), max(1, round(crop_h * scale)))
    picture = Image.fromarray(image).resize(new, Image.Resampling.BILINEAR, box=box)
    crop = Image.fromarray(labels).resize(new, Image.Resampling.NEAREST, box=box)
    return np.array(picture, np.float32), np.array(crop)


def turned(
    image: Pixels, labels: Labels, rng: np.random.Generator
) -> tuple[Pixels, Labels]:
    """Flip, and turn some by a right angle."""
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    if rng.random() < 0.3:
        quarters = int(rng.integers(1, 4))
        image, labels = np.rot90(image, quarters), np.rot90(labels, quarters)
    return np.ascontiguousarray(image), np.ascontiguousarray(labels)


def colour_regions(image: Pixels, rng: np.random.Generator) -> Labels:
    """Return regions of like colour, coarse or fine (Felzenszwalb, numbered from 1)."""
    height, width = image.shape[:2]
    scale = COLOUR_SIDE / max(height, width)
    small = Image.fromarray(image).resize(
        (max(8, round(width * scale)), max(8, round(height * scale))),
        Image.Resampling.BILINEAR,
    )
    regions = felzenszwalb(
        np.asarray(small),
        scale=float(np.exp(rng.uniform(np.log(40), np.log(800)))),
        sigma=float(rng.uniform(0.5, 1.5)),
        min_size=int(rng.integers(40, 160)),
    )
    picture = Image.fromarray((regions + 1).astype(np.int32))
    return np.array(picture.resize((width, height), Image.Resampling.NEAREST))


def blob(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a smooth random shape somewhere in a frame."""
    height, width = shape
    radius = rng.uniform(0.1, 0.38) * min(shape)
    centre = rng.uniform(0.2, 0.8, 2) * shape
    rows, columns = np.ogrid[:height, :width]
    y, x = rows - centre[0], columns - centre[1]
    stretch = np.exp(rng.uniform(-0.35, 0.35))
    distance = np.hypot(y * stretch, x / stretch)
    angle = np.arctan2(y, x)
    edge = np.ones(shape)
    for order in range(2, 7):
        amount = rng.normal(0, 0.22 / order)
        edge = edge + amount * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    return distance < radius * edge


def pasted(
    image: Pixels,
    labels: Labels,
    other: Pixels,
    regions: Labels,
    rng: np.random.Generator,
) -> tuple[Pixels, Labels]:
    """Lay a region of `other`, or a blob, over the image; its edge may be soft.

    What fills it is the other image, or the image itself in other colours.
    """
    height, width = labels.shape
    other = _fitted(other, (height, width))
    pieces = connected_pieces(_fitted(regions, (height, width)), 1, rng)
    shape = pieces[0] if pieces and rng.random() < 0.5 else blob(labels.shape, rng)
    filling = other.astype(np.float32)
    if rng.random() < 0.4:
        filling = image * rng.uniform(0.4, 1.4) * rng.uniform(0.8, 1.2, 3)
    soft = gaussian_filter(
        shape.astype(np.float32), rng.uniform(0, 0.012) * max(height, width)
    )[..., None]
    mixed = soft * np.clip(filling, 0, 255) + (1 - soft) * image
    new = np.where(shape, labels.max() + 1, labels)
    return mixed.astype(np.uint8), new.astype(np.int32)


def _fitted(array: NDArray[np.integer], shape: tuple[int, int]) -> NDArray:
    """Return the array cut to `shape`, mirrored where it is too small."""
    missing = [
        max(0, want - have) for want, have in zip(shape, array.shape, strict=False)
    ]
    padding = [(0, missing[0]), (0, missing[1])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, padding, mode="symmetric")[: shape[0], : shape[1]]


def disturbed(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Change light, contrast and colour; blur some, add noise to some."""
    colours = image.astype(np.float32)
    colours *= (rng.uniform(0.75, 1.25) * rng.uniform(0.85, 1.15, 3)).astype(np.float32)
    if rng.random() < 0.1:
        colours[:] = colours.mean(-1, keepdims=True)
    if rng.random() < 0.5:
        mean = colours.mean((0, 1))
        colours = mean + (colours - mean) * np.float32(rng.uniform(0.5, 1.4))
    if rng.random() < 0.15:
        noise = rng.standard_normal(colours.shape, np.float32)
        colours += np.float32(rng.uniform(2, 14)) * noise
    colours = 255 * (np.clip(colours, 0, 255) / 255) ** np.float32(
        rng.uniform(0.7, 1.4)
    )
    result = colours.astype(np.uint8)
    if rng.random() < 0.12:
        soft = ImageFilter.GaussianBlur(rng.uniform(0.5, 2.0))
        result = np.array(Image.fromarray(result).filter(soft))
    return result


def connected_pieces(
    labels: NDArray[np.integer], count: int, rng: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """Return up to `count` connected regions, each drawn by one pixel of a label."""
    candidates = [
        value
        for value, pixels in zip(*np.unique(labels, return_counts=True), strict=True)
        if value and pixels >= MIN_AREA * labels.size
    ]
    rng.shuffle(candidates)
    masks = []
    for value in candidates[:count]:
        pieces = connected_regions(labels == value, connectivity=1)
        piece = pieces.ravel()[rng.choice(np.flatnonzero(pieces))]
        mask = pieces == piece
        if MIN_AREA * labels.size <= mask.sum() <= MAX_AREA * labels.size:
            masks.append(mask)
    return masks


def drawn_masks(
    labels: Labels, count: int, rng: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """Return `count` masks, some of two touching regions; none if none fits."""
    masks = connected_pieces(labels, count, rng)
    if not masks:
        return []
    for index, mask in enumerate(masks):
        if rng.random() < UNION:
            ring = labels[gaussian_filter(mask.astype(np.float32), 2) > 0.05]
            own = labels[mask][0]
            near = ring[(ring > 0) & (ring != own)]
            if near.size:
                union = mask | (labels == rng.choice(near))
                if union.mean() <= MAX_AREA:
                    masks[index] = union
    while len(masks) < count:
        masks.append(masks[rng.integers(len(masks))])
    return masks
