"""A user made of dice: the first click on a lesion, then clicks where it went wrong."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_glmedsa.inference.prompts import Prompts

ClickPolicy = Literal["positive", "corrective", "random", "center"]


@dataclass(frozen=True, slots=True)
class ClickSimulator:
    """Draws clicks from a known mask; every draw comes from the generator passed in.

    Parameters
    ----------
    policy
        ``"positive"``: later clicks fall on missed lesion only, as in the
        paper's 3-point prompts. ``"corrective"``: on any wrong pixel, with the
        label that corrects it, as a person would. ``"random"``: anywhere on the
        lesion, whatever was predicted. ``"center"``: as ``"positive"``, but nothing is
        drawn: each click, the first too, is the inmost pixel of where it may fall.
    """

    policy: ClickPolicy = "positive"

    def first(self, mask: NDArray[np.bool_], rng: np.random.Generator) -> Prompts:
        """Click on a pixel of the mask.

        Parameters
        ----------
        mask
            (H, W) bool. If it is empty, the click is a background click anywhere.
        rng
            Source of the draw.

        Returns
        -------
        Prompts
            One click, (x, y) in the pixels of `mask`.
        """
        label = int(mask.any())
        where = mask if label else ~mask
        return Prompts(self._choose(where, rng)[None], np.array([label]))

    def refine(
        self,
        prompts: Prompts,
        mask: NDArray[np.bool_],
        predicted: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> Prompts:
        """Add one click as the policy says (anywhere right if nothing is wrong).

        Parameters
        ----------
        prompts
            The clicks so far; they are kept.
        mask, predicted
            (H, W) bool, truth and the model's answer.
        rng
            Source of the draw.
        """
        where = {
            "positive": mask & ~predicted,
            "corrective": mask ^ predicted,
            "random": mask,
            "center": mask & ~predicted,
        }[self.policy]
        if not where.any():
            where = mask if mask.any() else ~mask
        point = self._choose(where, rng)
        label = int(mask[int(point[1]), int(point[0])])
        return Prompts(
            np.vstack([prompts.point_coords, point]),
            np.append(prompts.point_labels, label),
            box=prompts.box,
        )

    def _choose(
        self, where: NDArray[np.bool_], rng: np.random.Generator
    ) -> NDArray[np.float64]:
        return inmost(where) if self.policy == "center" else _draw(where, rng)


def inmost(where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the true pixel that is farthest from any false one, as (x, y).

    Beyond the edge of the image all is false. Of equal ones the first in reading
    order counts.

    Parameters
    ----------
    where
        (H, W) bool, not all false.
    """
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(where, 1))[1:-1, 1:-1]
    row, column = divmod(int(depth.argmax()), where.shape[1])
    return np.array([column, row], dtype=np.float64)


def _draw(where: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a uniformly drawn true pixel of `where` as (x, y)."""
    candidates = np.flatnonzero(where)
    row, column = divmod(int(rng.choice(candidates)), where.shape[1])
    return np.array([column, row], dtype=np.float64)
