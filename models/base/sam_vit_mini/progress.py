"""How far a run is, and what follows: learning rate and input size."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

logger = logging.getLogger("recipe")

SIZES = (256, 384, 512)  # pixels
STABLE_SHARES = (0.9, 0.1, 0.0)  # of steps at each size
ANNEAL_SHARES = (0.5, 0.4, 0.1)
WARM_UP = 60  # steps
ANNEAL_MINUTES = 20.0


@dataclass
class Progress:
    """How far a run is; what a checkpoint holds besides tensors."""

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    anneal_from: float | None = None  # in seconds of training, as the next
    anneal_seconds: float = 60 * ANNEAL_MINUTES
    anneal_step: int | None = None

    def annealed(self) -> float:
        """Return the share of the decay that is done, 0 before it begins."""
        if self.anneal_from is None:
            return 0.0
        return min(1.0, (self.seconds - self.anneal_from) / self.anneal_seconds)

    def plan(self, run: Path, minutes: float) -> None:
        """Begin the decay when a file asks for it, or so that it ends in time."""
        request = run / "anneal"
        if self.anneal_from is None and request.exists():
            text = request.read_text().strip()
            self.anneal_seconds = 60 * float(text or ANNEAL_MINUTES)
            self.anneal_from, self.anneal_step = self.seconds, self.step
        if self.anneal_from is None and (
            self.seconds >= 60 * minutes - self.anneal_seconds
        ):
            self.anneal_from, self.anneal_step = self.seconds, self.step

    def rate(self) -> float:
        """Return the share of the learning rate: warm-up, constant, decay to 0."""
        return min(1.0, (self.step + 1) / WARM_UP) * (1 - self.annealed() ** 0.5)

    def size(self, seed: int, *, ahead: int = 0) -> int:
        """Draw the input size of a step, the same in every process."""
        rng = np.random.default_rng([seed, self.step + ahead])
        annealing = self.anneal_from is not None
        return int(rng.choice(SIZES, p=ANNEAL_SHARES if annealing else STABLE_SHARES))


def report(
    progress: Progress, window: list[tuple[float, list[float], float]], share: float
) -> None:
    """Log the means of the last steps: loss, IoU after each prompt, seconds."""
    ious = [
        np.mean([i[n] for _, i, _ in window if len(i) > n])
        for n in range(max(len(i) for _, i, _ in window))
    ]
    logger.info(
        "%d %.3f iou %s lr %.2f %.2f s/step %.0f min",
        progress.step,
        np.mean([loss for loss, _, _ in window]),
        " ".join(f"{iou:.3f}" for iou in ious),
        share,
        np.mean([seconds for _, _, seconds in window]),
        progress.seconds / 60,
    )
