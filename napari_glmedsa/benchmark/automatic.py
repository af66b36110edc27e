"""Methods that nobody clicks: networks trained on the same images, and two classics."""

import time
from collections.abc import Callable, Mapping

import numpy as np

from napari_glmedsa.baselines.networks import NETWORKS, build_network
from napari_glmedsa.baselines.segmenter import (
    NetworkSegmenter,
    OtsuSegmenter,
    RandomWalkerSegmenter,
    Segmenter,
)
from napari_glmedsa.baselines.training import NetworkTrainer
from napari_glmedsa.benchmark.answers import Answer
from napari_glmedsa.benchmark.begun import BegunTraining
from napari_glmedsa.benchmark.index import dataset
from napari_glmedsa.benchmark.made import Made, OnProgress
from napari_glmedsa.benchmark.methods import INPUT_SIZE
from napari_glmedsa.benchmark.parts import Parts
from napari_glmedsa.evaluation import Case
from napari_glmedsa.training.config import TrainingConfig

CLASSICS: Mapping[str, type[Segmenter]] = {
    "otsu": OtsuSegmenter,
    "random_walker": RandomWalkerSegmenter,
}


def make_automatic(
    name: str,
    config: TrainingConfig,
    parts: Parts,
    begun: BegunTraining,
    *,
    size: int,
    device: str,
    say: OnProgress,
) -> Made:
    """Train a network to the last epoch, or go on where that was stopped.

    Parameters
    ----------
    name
        Of `NETWORKS` or `CLASSICS`.
    config
        How to train.
    parts, begun
        What to learn from, and where that goes on.
    size
        Pixels of the base's square input, which a network's does not exceed.
    device, say
        Where to compute, and who is told how far it is.

    Raises
    ------
    MissingPackageError
        If a package of the extra `baselines` is missing.
    """
    if name in CLASSICS:
        return Made(_automatic(CLASSICS[name]()))
    assert name in NETWORKS
    size = min(size, INPUT_SIZE)
    network = build_network(name, size=size, seed=config.seed)
    trainer = NetworkTrainer(network, config, size=size, device=device)
    state = begun.read()
    seconds, curve = 0.0, []
    if state:
        trainer.load_state_dict(state)
        seconds, curve = float(state["seconds"]), list(state.get("curve", []))
    train = dataset(parts.train)
    while not trainer.finished:
        started = time.monotonic()
        loss = trainer.train_epoch(train, on_step=lambda *done: say("training", *done))
        seconds += time.monotonic() - started
        curve.append({"epoch": trainer.epoch, "loss": loss})
        known = {"seconds": seconds, "curve": curve}
        begun.write({**trainer.state_dict(), **known})
    return Made(
        _automatic(NetworkSegmenter(network, size=size)),
        trainable=sum(p.numel() for p in network.parameters()),
        seconds=seconds,
        config={**config.to_json(), "input_size": size},
        precision="fp32",
        curve=curve,
    )


def _automatic(segmenter: Segmenter) -> Callable[[Case], Answer]:
    def segment(case: Case) -> Answer:
        return Answer(segmenter.segment(case.image), np.empty((0, 2)))

    return segment
