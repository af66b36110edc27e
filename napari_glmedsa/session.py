"""One image, one model, one set of prompts, and the worker that answers them."""

from __future__ import annotations

import logging
import threading
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from psygnal import Signal

from napari_glmedsa.inference.encoding_ahead import EncodingAhead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    # Only the worker imports torch: it takes seconds, in which a window would freeze.
    import torch

    from napari_glmedsa.inference import EmbeddingCache, ImageEmbedding
    from napari_glmedsa.inference.device import PrecisionChoice
    from napari_glmedsa.inference.predictor import MaskPrediction, Predictor
    from napari_glmedsa.inference.prompts import Prompts
    from napari_glmedsa.inference.strokes import LowResFrame
    from napari_glmedsa.jobs import Job, JobQueue
    from napari_glmedsa.registry import ModelSpec

logger = logging.getLogger(__name__)

T = TypeVar("T")

AHEAD = "ahead"
LOAD, ENCODE, DECODE = JOB_CHAIN = ("load", "encode", "decode")
"""Keys of the session's jobs, in the order in which they build on one another."""


class SessionState(Enum):
    """What the session is doing; the user may click in every state."""

    EMPTY = auto()
    """Image or model is missing, or failed to load."""
    LOADING = auto()
    """The model is being read."""
    ENCODING = auto()
    """The image is being encoded."""
    READY = auto()
    """Every click so far is answered."""
    DECODING = auto()
    """The latest prompts are being answered."""


class ModelLoader(Protocol):
    """The part of `ModelRegistry` that a session needs."""

    def load(
        self, spec: ModelSpec, *, device: torch.device, precision: PrecisionChoice
    ) -> Predictor:
        """Return the model, ready to encode and predict on the device."""


class SegmentationSession:
    """Answers prompts about one image with masks, without ever making the caller wait.

    Methods return at once. Signals are emitted in the worker; those that answer
    something outdated are not emitted at all, and `is_current` tells whether an answer
    went out of date on its way to the receiver.

    Parameters
    ----------
    registry : ModelRegistry
        Where models come from.
    jobs : JobQueue
        The worker, made with `JOB_CHAIN`. The session closes it.
    cache : EmbeddingCache, optional
        Where the worker keeps embeddings, so that going back to one takes no time.
    """

    embedding_progress = Signal(int, int)
    """Blocks done, blocks in all."""
    embedding_ready = Signal(object)
    """ImageEmbedding."""
    mask_predicted = Signal(object)
    """MaskPrediction."""
    failed = Signal(Exception)
    state_changed = Signal(SessionState)

    def __init__(
        self, registry: ModelLoader, jobs: JobQueue, cache: EmbeddingCache | None = None
    ) -> None:
        self._registry, self._jobs, self._cache = registry, jobs, cache
        # Reentrant, because a receiver of a signal may call the session back.
        self._lock = threading.RLock()
        self._state = SessionState.EMPTY
        self._predictor: Predictor | None = None
        self._image: Any = None
        self._ahead: tuple[Any, ...] = ()
        self._embedding: ImageEmbedding | None = None
        self._prompts: Prompts | None = None
        self._prediction: MaskPrediction | None = None

    @property
    def state(self) -> SessionState:
        """What the session is doing."""
        return self._state

    def is_current(self, prediction: MaskPrediction) -> bool:
        """Whether this still is the answer to the latest prompts, image and model."""
        return prediction is self._prediction

    @property
    def low_res_frame(self) -> LowResFrame | None:
        """Where the image lies in a mask prompt, None while it is not encoded."""
        return self._embedding.low_res_frame if self._embedding else None

    def set_model(
        self,
        spec: ModelSpec,
        *,
        device: torch.device | str,
        precision: PrecisionChoice = "auto",
    ) -> None:
        """Load a model in the worker; image and prompts are kept and answered anew.

        Parameters
        ----------
        spec : ModelSpec
            Base model and adapter.
        device, precision : torch.device or str
            Where the encoder computes and in what (``"fp32"``); also ``"auto"``.
        """

        def load(job: Job) -> Predictor:
            from napari_glmedsa.inference import resolve_device

            started = time.perf_counter()
            predictor = self._registry.load(
                spec, device=resolve_device(str(device)), precision=precision
            )
            took = time.perf_counter() - started
            logger.info("%s (%s) loaded in %.1f s", spec, predictor.precision, took)
            return predictor

        with self._lock:
            self._predictor = None
            self._forget_embedding()
            self._set_state(SessionState.LOADING)
            self._submit(LOAD, load, self._on_loaded)

    def set_image(self, image: Any | None) -> None:
        """Take another image, without any prompts, or none.

        Parameters
        ----------
        image : array-like or None
            (H, W) or (H, W, 1 to 4) of uint8, uint16, float or bool. It is read in the
            worker, so it may be lazy, and must not change afterwards.
        """
        with self._lock:
            self._image = image
            self._prompts = None
            self._forget_embedding()
            self._jobs.cancel(ENCODE)
            self._encode_if_possible()

    def set_prompts(self, prompts: Prompts) -> None:
        """Ask for the mask of these prompts, now or as soon as the image is encoded.

        Empty prompts ask for nothing: whatever is under way is dropped.
        """
        with self._lock:
            self._prompts = prompts
            self._prediction = None
            self._jobs.cancel(DECODE)
            if self._embedding is not None:
                self._decode_if_possible()

    def encode_ahead(self, images: Iterable[Any]) -> None:
        """Fill the cache with what will be looked at next, while nobody waits.

        Parameters
        ----------
        images : iterable of array-like or callable
            As `set_image`, or functions that return it; read in a thread of their own.
            One that cannot be read is passed over. The next call replaces them.
        """
        with self._lock:
            self._ahead = tuple(images)
            self._jobs.cancel(AHEAD)
            self._encode_ahead_if_possible()

    def close(self) -> None:
        """Drop all work and stop the worker; may be called again."""
        with self._lock:
            self._jobs.close()
            self._predictor = self._image = self._prompts = None
            self._ahead = ()
            self._forget_embedding()
            self._set_state(SessionState.EMPTY)

    def _submit(
        self, key: str, run: Callable[[Job], T], on_done: Callable[[T], None]
    ) -> None:
        """Queue a job; call with the lock held."""

        def unless_called_off(callback: Callable[[Any], None]) -> Callable[[Any], None]:
            def guarded(value: Any) -> None:
                # The queue asked too, but only under this lock nobody can call the job
                # off between the question and the answer.
                with self._lock:
                    if not job.cancelled:
                        callback(value)

            return guarded

        job = self._jobs.submit(
            key,
            run,
            on_done=unless_called_off(on_done),
            on_error=unless_called_off(self._on_failed),
        )

    def _on_loaded(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._encode_if_possible()
        self._encode_ahead_if_possible()

    def _encode_if_possible(self) -> None:
        predictor, image, cache = self._predictor, self._image, self._cache
        if image is None or predictor is None:
            # A model on its way keeps the state; when it arrives, it comes here again.
            if predictor is not None or self._state is not SessionState.LOADING:
                self._set_state(SessionState.EMPTY)
            return

        def encode(job: Job) -> ImageEmbedding:
            from napari_glmedsa.inference import to_rgb_uint8

            started = time.perf_counter()
            rgb = to_rgb_uint8(image)
            job.raise_if_cancelled()
            key = predictor.embedding_key(rgb)
            embedding = cache.get(key, device=predictor.device) if cache else None
            if embedding is None:
                embedding = predictor.encode(
                    rgb,
                    key=key,
                    on_block=self.embedding_progress.emit,
                    check=job.raise_if_cancelled,
                )
                if cache:
                    cache.put(embedding)
            predictor.prepare(embedding)  # the first click is as fast as later ones
            logger.info("embedding %.2f s", time.perf_counter() - started)
            return embedding

        self._set_state(SessionState.ENCODING)
        self._submit(ENCODE, encode, self._on_encoded)

    def _on_encoded(self, embedding: ImageEmbedding) -> None:
        self._embedding = embedding
        self.embedding_ready.emit(embedding)
        self._decode_if_possible()

    def _encode_ahead_if_possible(self) -> None:
        predictor, cache = self._predictor, self._cache
        if predictor is None or cache is None or not self._ahead:
            return
        run = EncodingAhead(predictor, self._ahead, cache).run
        self._jobs.submit_for_pauses(
            AHEAD, lambda job: run(job.raise_if_cancelled), on_error=self._on_failed
        )

    def _decode_if_possible(self) -> None:
        predictor, embedding, prompts = self._predictor, self._embedding, self._prompts
        if predictor is None or embedding is None:
            return
        if prompts is None or prompts.is_empty:
            self._set_state(SessionState.READY)
            return

        self._set_state(SessionState.DECODING)
        predict = predictor.predict
        self._submit(DECODE, lambda _: predict(embedding, prompts), self._on_decoded)

    def _on_decoded(self, prediction: MaskPrediction) -> None:
        self._prediction = prediction
        self.mask_predicted.emit(prediction)
        self._set_state(SessionState.READY)

    def _on_failed(self, error: Exception) -> None:
        self._set_state(SessionState.READY if self._embedding else SessionState.EMPTY)
        self.failed.emit(error)

    def _forget_embedding(self) -> None:
        self._embedding = self._prediction = None

    def _set_state(self, state: SessionState) -> None:
        if state is not self._state:
            self._state = state
            self.state_changed.emit(state)
