"""A model ready for clicks: encode an image once, predict from prompts often."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor

from napari_glmedsa.errors import DeviceError, PromptError
from napari_glmedsa.inference.attention import fuse_attention
from napari_glmedsa.inference.decode import chosen_scores
from napari_glmedsa.inference.device import (
    Precision,
    PrecisionChoice,
    resolve_precision,
)
from napari_glmedsa.inference.embedding import ImageEmbedding
from napari_glmedsa.inference.full_size import Box, full_size_mask
from napari_glmedsa.inference.pixel_hashes import PixelHashes
from napari_glmedsa.inference.prepared_decoder import PreparedDecoder
from napari_glmedsa.inference.preprocess import input_resize, model_input
from napari_glmedsa.inference.prompts import Prompts
from napari_glmedsa.inference.watching import (
    BlockCallback,
    Check,
    checking,
    reporting,
)

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, eq=False)
class MaskPrediction:
    """The answer to one set of prompts.

    Parameters
    ----------
    mask
        (H, W) bool, at the size of the original image.
    low_res_logits
        (1, 1, 4h, 4w) float32; positive is lesion.
    iou_prediction
        The model's own guess at the IoU of the mask.
    prompts
        What was asked.
    embedding_key
        Which image and model answered, so that a late answer can be dropped.
    box
        Rows and columns outside of which the mask is False, both empty where it is
        so everywhere; None if unknown.
    candidates
        The model's guesses at the IoU of the three masks it proposes, in its order.
    propose
        Answers the same prompts with one of them, counted from 0.
    """

    mask: NDArray[np.bool_]
    low_res_logits: Tensor
    iou_prediction: float
    prompts: Prompts
    embedding_key: str
    box: Box | None = None
    candidates: tuple[float, ...] = ()
    propose: Callable[[int], "MaskPrediction"] | None = None

    def candidate(self, index: int) -> "MaskPrediction":
        """Return one of the three masks that the model proposes; it is decoded now.

        Raises
        ------
        PromptError
            If there is none with this index, counted from 0.
        """
        if self.propose is None or index not in range(len(self.candidates)):
            raise PromptError(
                f"The model proposed {len(self.candidates)} masks, so there is no"
                f" candidate {index + 1}; choose another."
            )
        return self.propose(index)


class Predictor:
    """One SAM (with or without adapters) that answers prompts.

    Parameters
    ----------
    sam
        The model, on its device; put into eval mode, its attention made fast
        (`fuse_attention`).
    fingerprint
        Names the weights; part of every embedding's key.
    precision
        Of the image encoder; the decoder always computes in float32. ``"auto"``
        takes bf16 where the processor is faster with it, which is not quite the
        same; ``"fp32"`` is exact up to rounding.
    multimask_output
        Let SAM propose three masks and take the one it believes in most.
    """

    def __init__(
        self,
        sam: Sam,
        *,
        fingerprint: str,
        precision: PrecisionChoice = "fp32",
        multimask_output: bool = False,
    ) -> None:
        self.precision: Precision = resolve_precision(precision, sam.device)
        self.sam = sam.eval()
        fuse_attention(sam.image_encoder)
        self.fingerprint = fingerprint
        self._hashes = PixelHashes()
        self.multimask_output = multimask_output
        # Of the image that was clicked last: going back to another costs little more
        # than a click, and many images are not held twice.
        self._prepared: tuple[ImageEmbedding, PreparedDecoder] | None = None

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        device: torch.device = self.sam.device
        return device

    @property
    def depth(self) -> int:
        """Number of ViT blocks, the steps of `encode`."""
        return len(self.sam.image_encoder.blocks)

    def embedding_key(self, image: NDArray[np.uint8]) -> str:
        """Return what names the embedding of an image: its pixels and all of the model.

        Parameters
        ----------
        image
            (H, W, 3) uint8 RGB.
        """
        size = self.sam.image_encoder.img_size
        model = f"{self.fingerprint}|{input_resize(self.sam)} {size}|{self.precision}"
        name = f"{self._hashes.sha256(image)}|{model}"
        return hashlib.sha256(name.encode()).hexdigest()

    @torch.inference_mode()
    def encode(
        self,
        image: NDArray[np.uint8],
        *,
        key: str | None = None,
        on_block: BlockCallback | None = None,
        check: Check | None = None,
    ) -> ImageEmbedding:
        """Run the image encoder.

        Parameters
        ----------
        image
            (H, W, 3) uint8 RGB.
        key
            Its `embedding_key`, if that is known already.
        on_block
            Called as ``on_block(done, depth)`` after every ViT block, in this thread.
        check
            Called all along, many times within a block; what it raises (`Cancelled`,
            say) ends the encoding.

        Raises
        ------
        DeviceError
            If memory runs out.
        """
        key = key or self.embedding_key(image)
        encoder = self.sam.image_encoder
        with _clear_memory_errors(), self._autocast():
            tensor, input_size = model_input(self.sam, image, check=check)
            with reporting(encoder, on_block), checking(encoder, check):
                features = encoder(tensor).float()
        height, width = image.shape[:2]
        return ImageEmbedding(features, (height, width), input_size, key)

    def predict(self, embedding: ImageEmbedding, prompts: Prompts) -> MaskPrediction:
        """Answer the prompts with a mask at the size of the original image.

        Raises
        ------
        PromptError
            If there is no prompt, or one lies outside the image.
        DeviceError
            If memory runs out.
        """
        return self._predict(embedding, prompts, None)

    @torch.inference_mode()
    def _predict(
        self, embedding: ImageEmbedding, prompts: Prompts, candidate: int | None
    ) -> MaskPrediction:
        if prompts.is_empty:
            raise PromptError("There is nothing to segment yet: click on the lesion.")
        prompts.check_inside(embedding.original_size)
        with _clear_memory_errors():
            several = self.multimask_output or candidate is not None
            logits, all_scores = self._decoder(embedding).decode(
                **self._prompt_tensors(embedding, prompts), multimask_output=several
            )
            scores = chosen_scores(all_scores, several)[0]
            best = int(scores.argmax()) if candidate is None else candidate
            low_res_logits = logits[:, best : best + 1]
            mask, box = full_size_mask(
                low_res_logits[0, 0],
                image_size=self.sam.image_encoder.img_size,
                input_size=embedding.input_size,
                original_size=embedding.original_size,
            )
        return MaskPrediction(
            mask=mask,
            low_res_logits=low_res_logits,
            iou_prediction=float(scores[best]),
            prompts=prompts,
            embedding_key=embedding.key,
            box=box,
            candidates=tuple(chosen_scores(all_scores, True)[0].tolist()),
            propose=partial(self._predict, embedding, prompts),
        )

    @torch.inference_mode()
    def prepare(self, embedding: ImageEmbedding) -> None:
        """Do now what the first click on an image would otherwise wait for."""
        with _clear_memory_errors():
            self._decoder(embedding)

    def _decoder(self, embedding: ImageEmbedding) -> PreparedDecoder:
        prepared = self._prepared
        if prepared is None or prepared[0] is not embedding:
            decoder = PreparedDecoder(self.sam, embedding.features)
            self._prepared = prepared = embedding, decoder
        return prepared[1]

    def _prompt_tensors(
        self, embedding: ImageEmbedding, prompts: Prompts
    ) -> dict[str, Tensor | None]:
        """Scale prompts from the original image to the model's input frame."""
        height, width = embedding.original_size
        scale = np.array(embedding.input_size[::-1]) / (width, height)

        def tensor(values: NDArray[Any]) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=self.device)

        has_points = len(prompts.point_coords) > 0
        low_res = tuple(4 * side for side in embedding.features.shape[-2:])
        mask_input = prompts.mask_input
        if mask_input is not None and mask_input.shape != low_res:
            raise PromptError(
                f"A mask prompt for this model has {low_res[0]} x {low_res[1]} logits, "
                f"not {' x '.join(map(str, mask_input.shape))}."
            )
        coords = tensor(prompts.point_coords * scale)[None]
        labels, box = tensor(prompts.point_labels)[None], prompts.box
        mask = None if mask_input is None else tensor(mask_input)[None, None]
        return {
            "point_coords": coords if has_points else None,
            "point_labels": labels if has_points else None,
            "boxes": None if box is None else tensor(box * np.tile(scale, 2))[None],
            "mask_input": mask,
        }

    def _autocast(self) -> torch.autocast:
        dtype = _AUTOCAST.get(self.precision)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)


@contextmanager
def _clear_memory_errors() -> Iterator[None]:
    """Turn every kind of running out of memory into one sentence."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if isinstance(error, RuntimeError) and "memory" not in text:
            raise
        raise DeviceError(
            "There is not enough memory for this image and model; close other "
            "programs, choose a smaller model or the device cpu."
        ) from error
