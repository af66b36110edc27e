"""How good a model is while it trains, shared among the processes that train it."""

from itertools import chain

import numpy as np

from napari_glmedsa.evaluation import evaluate_clicks, summarise
from napari_glmedsa.inference.predictor import Predictor
from napari_glmedsa.inference.preprocess import input_resize
from napari_glmedsa.training.config import TrainingConfig
from napari_glmedsa.training.dataset import SegmentationDataset
from napari_glmedsa.training.processes import Processes


def validate(
    predictor: Predictor,
    val: SegmentationDataset,
    *,
    config: TrainingConfig,
    processes: Processes,
) -> tuple[float, float]:
    """Return the mean Dice and IoU over images and clicks.

    Clicks and objects are the same every time, whatever the number of processes;
    images are judged at the model's input size.
    """
    sam, seed = predictor.sam, config.seed
    size, how = sam.image_encoder.img_size, input_resize(sam)
    own = processes.share(sorted(val.ids))
    cases = (val.case(name, size=size, seed=seed, how=how) for name in own)
    answers = evaluate_clicks(predictor, cases, n_clicks=config.n_points, seed=seed)
    scores = chain.from_iterable(processes.together(lambda: list(answers)))
    means = summarise(sorted(scores, key=lambda score: score.id))
    return float(np.mean(means["dice"])), float(np.mean(means["iou"]))
