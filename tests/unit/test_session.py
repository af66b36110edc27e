import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dask.array
import numpy as np
import pytest
import torch

from napari_glmedsa.errors import ImageFormatError, ModelNotFoundError, PromptError
from napari_glmedsa.evaluation import iou
from napari_glmedsa.inference import EmbeddingCache, Predictor, Prompts, predictor
from napari_glmedsa.inference.prepared_decoder import PreparedDecoder
from napari_glmedsa.jobs import JobQueue
from napari_glmedsa.registry import ModelSpec
from napari_glmedsa.session import JOB_CHAIN, SegmentationSession, SessionState

LONG = 20.0  # seconds after which a test is stuck rather than slow
TINY, OTHER = ModelSpec("tiny"), ModelSpec("other")
ONE_CLICK = Prompts(np.array([[30.0, 20.0]]), np.array([1]))
TWO_CLICKS = Prompts(np.array([[30.0, 20.0], [5.0, 5.0]]), np.array([1, 0]))
OUTSIDE = Prompts(np.array([[3000.0, 20.0]]), np.array([1]))


class Models:
    """A registry with two names for one model, whose loading can be held up."""

    def __init__(self, sam) -> None:
        self.sam = sam
        self.opened = threading.Event()
        self.opened.set()
        self.threads: list[threading.Thread] = []
        self.precisions: list[str] = []

    def load(
        self, spec: ModelSpec, *, device: torch.device, precision: str
    ) -> Predictor:
        self.precisions.append(precision)
        self.threads.append(threading.current_thread())
        assert self.opened.wait(LONG)
        if spec not in (TINY, OTHER):
            raise ModelNotFoundError(f"There is no model {spec}.")
        return Predictor(self.sam.to(device), fingerprint=str(spec))


class SlowImage:
    """A lazy image whose pixels arrive when the test lets them."""

    def __init__(self, pixels) -> None:
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, pixels.dtype
        self.ndim = pixels.ndim
        self.entered, self.opened = threading.Event(), threading.Event()

    def __array__(self, dtype=None, copy=None):
        self.entered.set()
        assert self.opened.wait(LONG)
        return self.pixels


class Recorder:
    """Writes down what a session says."""

    def __init__(self, session: SegmentationSession) -> None:
        self.session = session
        self.masks, self.errors, self.states = [], [], []
        self.embeddings, self.progress = [], []
        session.mask_predicted.connect(self.masks.append)
        session.failed.connect(self.errors.append)
        session.state_changed.connect(self.states.append)
        session.embedding_ready.connect(self.embeddings.append)
        session.embedding_progress.connect(
            lambda done, depth: self.progress.append((done, depth))
        )


def wait_until(condition) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.005)


@pytest.fixture
def models(tiny_sam) -> Models:
    return Models(tiny_sam)


@pytest.fixture
def session(models) -> Iterator[SegmentationSession]:
    session = SegmentationSession(models, JobQueue(JOB_CHAIN))
    yield session
    models.opened.set()
    session.close()


@pytest.fixture
def said(session) -> Recorder:
    return Recorder(session)


@pytest.fixture
def expected(tiny_sam, image):
    """Mask of prompts, computed the plain way."""
    predictor = Predictor(tiny_sam, fingerprint=str(TINY))
    embedding = predictor.encode(image)
    return lambda prompts: predictor.predict(embedding, prompts).mask


def test_a_click_becomes_a_mask(session, said, image, expected):
    session.set_model(TINY, device="cpu")
    session.set_image(image)
    session.set_prompts(ONE_CLICK)
    wait_until(lambda: said.masks)
    (prediction,) = said.masks
    assert np.array_equal(prediction.mask, expected(ONE_CLICK))
    assert session.is_current(prediction)
    assert said.progress == [(1, 3), (2, 3), (3, 3)]
    wait_until(lambda: session.state is SessionState.READY)
    assert said.states == [
        SessionState.LOADING,
        SessionState.ENCODING,
        SessionState.DECODING,
        SessionState.READY,
    ]


def test_model_image_and_prompts_may_come_in_any_order(session, said, image, expected):
    session.set_image(image)
    session.set_prompts(ONE_CLICK)
    assert session.state is SessionState.EMPTY
    session.set_model(TINY, device="cpu")
    wait_until(lambda: said.masks)
    assert np.array_equal(said.masks[0].mask, expected(ONE_CLICK))


def test_clicks_before_the_embedding_are_kept_and_only_the_last_is_answered(
    session, said, image, expected
):
    slow = SlowImage(image)
    session.set_model(TINY, device="cpu")
    session.set_image(slow)
    assert slow.entered.wait(LONG)
    session.set_prompts(ONE_CLICK)
    session.set_prompts(TWO_CLICKS)
    assert said.masks == []
    slow.opened.set()
    wait_until(lambda: session.state is SessionState.READY)
    (prediction,) = said.masks
    assert np.array_equal(prediction.mask, expected(TWO_CLICKS))


def test_all_work_is_done_in_the_worker(session, said, models, image):
    here = threading.current_thread()
    heard: list[threading.Thread] = []
    session.mask_predicted.connect(lambda _: heard.append(threading.current_thread()))
    slow = SlowImage(image)
    slow.opened.set()
    session.set_model(TINY, device="cpu")
    session.set_image(slow)
    session.set_prompts(ONE_CLICK)
    wait_until(lambda: heard)
    assert here not in {*models.threads, *heard}


def test_the_model_is_loaded_in_the_fastest_precision_unless_another_is_wanted(
    session, said, models
):
    session.set_model(TINY, device="cpu")
    wait_until(lambda: session.state is SessionState.EMPTY)
    assert models.precisions == ["auto"]
    session.set_model(TINY, device="cpu", precision="fp32")
    wait_until(lambda: session.state is SessionState.EMPTY)
    assert models.precisions == ["auto", "fp32"]


@pytest.mark.parametrize("kind", ["dask", "grey", "uint16", "bool"])
def test_any_array_is_converted_in_the_worker(session, said, image, kind):
    arrays = {
        "dask": dask.array.from_array(image, chunks=16),
        "grey": image[..., 0],
        "uint16": image.astype(np.uint16) * 257,
        "bool": image[..., 0] > 128,
    }
    session.set_model(TINY, device="cpu")
    session.set_image(arrays[kind])
    session.set_prompts(ONE_CLICK)
    wait_until(lambda: said.masks)
    assert said.masks[0].mask.shape == image.shape[:2]


def test_a_late_answer_about_the_previous_image_is_not_given(session, said, image):
    slow = SlowImage(image)
    session.set_model(TINY, device="cpu")
    session.set_image(slow)
    session.set_prompts(ONE_CLICK)
    assert slow.entered.wait(LONG)
    other = np.flip(image, 0).copy()
    session.set_image(other)
    slow.opened.set()
    session.set_prompts(TWO_CLICKS)
    wait_until(lambda: session.state is SessionState.READY)
    assert len(said.embeddings) == len(said.masks) == 1
    assert said.masks[0].prompts is TWO_CLICKS


def test_five_images_in_a_row_cost_one_embedding(session, said, models, image):
    models.opened.clear()
    session.set_model(TINY, device="cpu")
    for shift in range(5):
        session.set_image(np.roll(image, shift, axis=0))
    models.opened.set()
    wait_until(lambda: session.state is SessionState.READY)
    assert len(said.embeddings) == 1


def test_where_a_mask_prompt_lies_is_known_while_the_image_is_encoded(
    session, said, image
):
    assert session.low_res_frame is None
    session.set_model(TINY, device="cpu")
    session.set_image(image)
    wait_until(lambda: said.embeddings)
    assert session.low_res_frame == said.embeddings[0].low_res_frame
    session.set_image(None)
    assert session.low_res_frame is None


def test_another_image_starts_without_prompts(session, said, image):
    session.set_model(TINY, device="cpu")
    session.set_image(image)
    session.set_prompts(ONE_CLICK)
    wait_until(lambda: said.masks)
    session.set_image(np.flip(image, 0).copy())
    wait_until(lambda: len(said.embeddings) == 2)
    wait_until(lambda: session.state is SessionState.READY)
    assert len(said.masks) == 1
    assert not session.is_current(said.masks[0])


def test_empty_prompts_ask_for_nothing_and_outdate_the_last_answer(
    session, said, image
):
    session.set_model(TINY, device="cpu")
    session.set_image(image)
    session.set_prompts(ONE_CLICK)
    wait_until(lambda: said.masks)
    session.set_prompts(Prompts.empty())
    assert session.state is SessionState.READY
    assert not session.is_current(said.masks[0])


def test_another_model_encodes_anew_and_answers_the_same_prompts(session, said, image):
    session.set_model(TINY, device="cpu")
    session.set_image(image)
    session.set_prompts(ONE_CLICK)
    wait_until(lambda: said.masks)
    session.set_model(OTHER, device="cpu")
    assert session.state is SessionState.LOADING
    wait_until(lambda: len(said.masks) == 2)
    first, second = said.masks
    assert first.embedding_key != second.embedding_key
    assert second.prompts is ONE_CLICK
    assert session.is_current(second)
    assert not session.is_current(first)


def test_of_two_models_chosen_quickly_only_the_last_is_used(
    session, said, models, image
):
    models.opened.clear()
    session.set_image(image)
    session.set_model(TINY, device="cpu")
    wait_until(lambda: models.threads)
    session.set_model(OTHER, device="cpu")
    models.opened.set()
    wait_until(lambda: session.state is SessionState.READY)
    (embedding,) = said.embeddings
    expected = Predictor(models.sam, fingerprint=str(OTHER)).encode(image)
    assert embedding.key == expected.key


def test_a_model_that_does_not_load_leaves_the_session_usable(
    session, said, image, expected
):
    session.set_image(image)
    session.set_prompts(ONE_CLICK)
    session.set_model(ModelSpec("nobody"), device="cpu")
    wait_until(lambda: said.errors)
    assert isinstance(said.errors[0], ModelNotFoundError)
    assert session.state is SessionState.EMPTY
    session.set_model(TINY, device="cpu")
    wait_until(lambda: said.masks)
    assert np.array_equal(said.masks[0].mask, expected(ONE_CLICK))


def test_an_unknown_device_is_a_failure_in_one_sentence(session, said):
    session.set_model(TINY, device="abacus")
    wait_until(lambda: said.errors)
    assert "abacus" in str(said.errors[0])


@pytest.mark.parametrize(
    "bad",
    [np.full((8, 8, 3), np.nan), np.zeros((4, 8, 8)), np.zeros((0, 8))],
    ids=["nan", "stack", "empty"],
)
def test_an_image_that_cannot_be_read_leaves_the_session_usable(
    session, said, image, bad
):
    session.set_model(TINY, device="cpu")
    session.set_image(bad)
    wait_until(lambda: said.errors)
    assert isinstance(said.errors[0], ImageFormatError)
    assert session.state is SessionState.EMPTY
    session.set_image(image)
    session.set_prompts(ONE_CLICK)
    wait_until(lambda: said.masks)


def test_a_click_outside_the_image_is_a_failure_and_the_next_click_works(
    session, said, image
):
    session.set_model(TINY, device="cpu")
    session.set_image(image)
    session.set_prompts(OUTSIDE)
    wait_until(lambda: said.errors)
    assert isinstance(said.errors[0], PromptError)
    assert session.state is SessionState.READY
    session.set_prompts(ONE_CLICK)
    wait_until(lambda: said.masks)


def test_without_an_image_the_session_is_empty_again(session, said, image):
    session.set_model(TINY, device="cpu")
    session.set_image(image)
    wait_until(lambda: session.state is SessionState.READY)
    session.set_image(None)
    assert session.state is SessionState.EMPTY
    session.set_prompts(ONE_CLICK)
    assert session.state is SessionState.EMPTY


def test_removing_the_image_does_not_stop_the_model_from_loading(
    session, said, models, image
):
    models.opened.clear()
    session.set_model(TINY, device="cpu")
    session.set_image(image)
    session.set_image(None)
    assert session.state is SessionState.LOADING
    models.opened.set()
    wait_until(lambda: session.state is SessionState.EMPTY)
    session.set_image(image)
    wait_until(lambda: session.state is SessionState.READY)


def test_closing_while_encoding_says_nothing_more(session, said, image):
    slow = SlowImage(image)
    session.set_model(TINY, device="cpu")
    session.set_image(slow)
    session.set_prompts(ONE_CLICK)
    assert slow.entered.wait(LONG)
    session.close()
    session.close()
    slow.opened.set()
    wait_until(lambda: not session._jobs._worker.is_alive())
    assert (said.masks, said.errors, said.embeddings) == ([], [], [])
    assert session.state is SessionState.EMPTY


def test_a_receiver_may_call_the_session_back(session, said, image):
    session.embedding_ready.connect(lambda _: session.set_prompts(ONE_CLICK))
    session.set_model(TINY, device="cpu")
    session.set_image(image)
    wait_until(lambda: said.masks)
    assert said.masks[-1].prompts is ONE_CLICK


@pytest.fixture
def cached(models, tmp_path) -> Iterator[Callable[[], Recorder]]:
    """Opens sessions one after the other that share a cache on disk."""
    sessions = []

    def open_session() -> Recorder:
        cache = EmbeddingCache(tmp_path / "cache")
        sessions.append(SegmentationSession(models, JobQueue(JOB_CHAIN), cache))
        said = Recorder(sessions[-1])
        said.session.set_model(TINY, device="cpu")
        return said

    yield open_session
    for session in sessions:
        session.close()


def test_going_back_to_an_image_encodes_nothing(cached, image, expected):
    said = cached()
    for pixels in (image, np.flip(image, 0).copy(), image):
        said.session.set_image(pixels)
        said.session.set_prompts(ONE_CLICK)
        count = len(said.masks)
        wait_until(lambda count=count: len(said.masks) > count)
    assert len(said.embeddings) == 3
    assert len(said.progress) == 2 * 3  # blocks of two encodings
    assert np.array_equal(said.masks[2].mask, expected(ONE_CLICK))


def test_after_a_restart_nothing_is_encoded_again(cached, tmp_path, image, expected):
    said = cached()
    said.session.set_image(image)
    wait_until(lambda: list(tmp_path.glob("cache/*.safetensors")))
    said.session.close()
    said = cached()
    said.session.set_image(image)
    said.session.set_prompts(ONE_CLICK)
    wait_until(lambda: said.masks)
    assert said.progress == []
    assert iou(said.masks[0].mask, expected(ONE_CLICK)) > 0.99


def test_another_model_does_not_take_the_embedding_of_the_first(cached, image):
    said = cached()
    said.session.set_image(image)
    wait_until(lambda: said.embeddings)
    said.session.set_model(OTHER, device="cpu")
    wait_until(lambda: len(said.embeddings) == 2)
    assert len(said.progress) == 2 * 3
    assert said.embeddings[0].key != said.embeddings[1].key


def cached_keys(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("cache/*.safetensors")}


def entry_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("cache/*.safetensors"))


def test_images_are_encoded_ahead_and_cost_nothing_when_they_are_looked_at(
    cached, tmp_path, image
):
    said = cached()
    said.session.set_image(image)
    others = [np.roll(image, shift, axis=0) for shift in (1, 2)]
    said.session.encode_ahead([others[0], lambda: others[1]])
    wait_until(lambda: len(cached_keys(tmp_path)) == 3)
    assert (len(said.embeddings), len(said.progress)) == (1, 3)
    for other in others:
        count = len(said.embeddings)
        said.session.set_image(other)
        wait_until(lambda count=count: len(said.embeddings) > count)
    assert len(said.progress) == 3


def test_a_click_does_not_wait_for_what_is_encoded_ahead(
    cached, tmp_path, image, expected
):
    said = cached()
    said.session.set_image(image)
    wait_until(lambda: said.session.state is SessionState.READY)
    slow = SlowImage(np.flip(image, 0).copy())
    said.session.encode_ahead([slow])
    assert slow.entered.wait(LONG)
    said.session.set_prompts(ONE_CLICK)
    wait_until(lambda: said.masks)  # while the other image is still being read
    assert np.array_equal(said.masks[0].mask, expected(ONE_CLICK))
    slow.opened.set()
    wait_until(lambda: len(cached_keys(tmp_path)) == 2)


def test_encoding_ahead_stops_within_the_image_when_a_click_comes(
    cached, tmp_path, models, image
):
    said = cached()
    said.session.set_image(image)
    wait_until(lambda: said.session.state is SessionState.READY)
    at_block, go_on, blocks = threading.Event(), threading.Event(), []

    def pause(*_) -> None:
        blocks.append(len(said.masks))
        at_block.set()
        assert go_on.wait(LONG)

    handle = models.sam.image_encoder.blocks[0].register_forward_hook(pause)
    said.session.encode_ahead([np.flip(image, 0).copy()])
    assert at_block.wait(LONG)
    said.session.set_prompts(ONE_CLICK)
    go_on.set()
    wait_until(lambda: len(cached_keys(tmp_path)) == 2)
    handle.remove()
    assert blocks == [0, 1]  # begun, given up for the click, begun again after its mask


def test_the_first_click_finds_the_decoder_prepared(said, image, monkeypatch):
    prepared = []

    class Counted(PreparedDecoder):
        def __init__(self, sam, features) -> None:
            prepared.append(len(said.masks))
            super().__init__(sam, features)

    monkeypatch.setattr(predictor, "PreparedDecoder", Counted)
    said.session.set_model(TINY, device="cpu")
    said.session.set_image(image)
    wait_until(lambda: said.embeddings)
    assert prepared == [0]
    for prompts in (ONE_CLICK, TWO_CLICKS):
        said.session.set_prompts(prompts)
        wait_until(lambda prompts=prompts: prompts in [m.prompts for m in said.masks])
    assert prepared == [0]


def test_an_image_that_cannot_be_read_ahead_is_passed_over(cached, tmp_path, image):
    said = cached()

    def gone() -> np.ndarray:
        raise FileNotFoundError(2, "No such file or directory")

    said.session.encode_ahead([np.full((8, 8, 3), np.nan), gone, image])
    wait_until(lambda: len(cached_keys(tmp_path)) == 1)
    assert said.errors == []


def test_what_an_older_version_kept_is_encoded_ahead_again(
    cached, tmp_path, image, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr("napari_glmedsa.inference.embedding_cache.__version__", "0.0.1")
        said = cached()
        said.session.encode_ahead([image])
        wait_until(lambda: len(cached_keys(tmp_path)) == 1)
        said.session.close()
    before = entry_bytes(tmp_path)
    said = cached()
    said.session.encode_ahead([image])
    wait_until(lambda: entry_bytes(tmp_path) not in (before, b""))


def test_after_another_model_is_chosen_it_encodes_ahead(cached, tmp_path, image):
    said = cached()
    said.session.encode_ahead([image])
    wait_until(lambda: len(cached_keys(tmp_path)) == 1)
    said.session.set_model(OTHER, device="cpu")
    wait_until(lambda: len(cached_keys(tmp_path)) == 2)


def test_without_a_cache_nothing_is_encoded_ahead(session, said, models, image):
    slow = SlowImage(image)
    session.set_model(TINY, device="cpu")
    session.encode_ahead([slow])
    session.set_image(np.flip(image, 0).copy())
    wait_until(lambda: session.state is SessionState.READY)
    assert not slow.entered.is_set()


def test_importing_the_session_imports_neither_torch_nor_napari():
    code = (
        "import sys, napari_glmedsa.session; "
        "print({'torch', 'napari', 'qtpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
