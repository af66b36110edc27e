"""Images that will be looked at next, encoded into a cache bit by bit."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import TYPE_CHECKING, Any

from napari_glmedsa.errors import DeviceError, GLMedSAError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

    from napari_glmedsa.inference.embedding_cache import EmbeddingCache
    from napari_glmedsa.inference.predictor import Predictor

logger = logging.getLogger(__name__)

_GLANCE = 0.005  # seconds between two looks at whether somebody else wants the worker


class EncodingAhead:
    """Encodes images into a cache, and can be interrupted and taken up again.

    Reading a large photograph takes as long as several clicks, so it is done in a
    thread of its own, one photograph at a time.

    Parameters
    ----------
    predictor
        The model.
    images
        What `to_rgb_uint8` takes, or functions that return it. One that cannot be
        read is passed over: nobody has asked for it yet.
    cache
        Gets the embeddings that are not in it.
    """

    def __init__(
        self, predictor: Predictor, images: Iterable[Any], cache: EmbeddingCache
    ) -> None:
        self._predictor = predictor
        self._waiting = deque(images)
        self._cache = cache
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="glmedsa-reader")
        self._being_read: Future[tuple[NDArray[np.uint8], str]] | None = None

    def run(self, check: Callable[[], None]) -> None:
        """Encode until all is done.

        Parameters
        ----------
        check
            Called again and again; what it raises ends the run. Another run goes on
            with the image at which this one was interrupted.
        """
        while self._waiting:
            try:
                image, key = self._read(check)
                known = self._cache.get(key, device=self._predictor.device)
                if known is None:
                    embedding = self._predictor.encode(image, key=key, check=check)
                    self._cache.put(embedding)
            except (GLMedSAError, OSError) as error:
                logger.debug("image not encoded ahead: %s", error)
                if isinstance(error, DeviceError):  # there is no room for others either
                    self._waiting.clear()
                    return
            self._being_read = None
            self._waiting.popleft()

    def _read(self, check: Callable[[], None]) -> tuple[NDArray[np.uint8], str]:
        if self._being_read is None:
            self._being_read = self._reader.submit(self._take, self._waiting[0])
        while True:
            check()
            try:
                return self._being_read.result(_GLANCE)
            except NotYet:
                continue

    def _take(self, image: Any) -> tuple[NDArray[np.uint8], str]:
        from napari_glmedsa.inference.preprocess import to_rgb_uint8

        rgb = to_rgb_uint8(image() if callable(image) else image)
        return rgb, self._predictor.embedding_key(rgb)
