"""What several tests of the Segment dock share: tiny models, a click, its answer."""

import threading

import numpy as np

from napari_glmedsa.inference import Predictor, Prompts
from napari_glmedsa.registry import ModelRegistry, ModelSpec
from napari_glmedsa.session import SessionState

LONG = 60_000  # milliseconds after which a test is stuck rather than slow
SIZE = (96, 128)
CLICK = (48.0, 64.0)


class TinyModels(ModelRegistry):
    """A registry without the built-in model, whose loading can be held up."""

    def __init__(self, registry) -> None:
        super().__init__(registry.root)
        self._load = registry.load
        self.opened = threading.Event()
        self.opened.set()

    def specs(self) -> list[ModelSpec]:
        own = [spec for spec in super().specs() if spec.base == "sam_tiny"]
        return sorted(own, key=lambda spec: spec.adapter is None)

    def load(self, spec, *, device, precision="auto") -> Predictor:
        assert self.opened.wait(LONG / 1000)
        return self._load(spec, device=device, precision=precision)


def layer(dock, name):
    return dock.viewer.layers[name].__wrapped__


def expected_mask(models, pixels, clicks, labels, spec=None):
    """Predict the plain way; clicks are (row, col)."""
    spec = spec or models.specs()[0]
    predictor: Predictor = models.load(spec, device="cpu")
    points = np.array(clicks, dtype=float)[:, ::-1]
    return predictor.predict(predictor.encode(pixels), Prompts(points, labels)).mask


def click(dock, at, label="lesion", wait=None) -> None:
    """Add a click and wait for its answer."""
    dock.clicks.feature_defaults = {"label": label}
    dock.clicks.add(at)
    if wait:
        answered(dock, wait)


def answered(dock, wait) -> None:
    wait(lambda: dock.widget.session.state is SessionState.READY)
    wait(lambda: dock.mask.data.any())


def drawn(dock, label=1):
    return dock.mask.data == label


def begun(dock, project=None) -> bool:
    """Say whether steps are written into a project, or onto the shelf without one."""
    work = dock.widget._work
    return work.is_ours and work._found.last.project == (project and project.root)
