"""Prompts and image embeddings to low-resolution mask logits."""

import torch
from segment_anything.modeling import MaskDecoder, Sam
from torch import Tensor

from napari_glmedsa.errors import PromptError


def decode_masks(
    sam: Sam,
    image_embedding: Tensor,
    point_coords: Tensor | None = None,
    point_labels: Tensor | None = None,
    *,
    boxes: Tensor | None = None,
    mask_input: Tensor | None = None,
    image_index: Tensor | None = None,
    multimask_output: bool = False,
) -> tuple[Tensor, Tensor]:
    """Run SAM's prompt encoder and mask decoder for N prompt sets.

    The same numbers as ``SamPredictor.predict_torch``, but pure, with gradients
    where they are enabled, and for several images at once.

    Parameters
    ----------
    sam
        The model; only its prompt encoder and mask decoder are used.
    image_embedding
        (B, C, h, w) from the image encoder.
    point_coords
        (N, P, 2) float, (x, y) in pixels of the model's square input frame.
    point_labels
        (N, P), 1 = foreground, 0 = background, -1 = padding.
    boxes
        (N, 4) float, x0, y0, x1, y1 in the same frame.
    mask_input
        (N, 1, 4h, 4w) float logits of an earlier mask.
    image_index
        (N,) int64: which image each prompt set belongs to. Not needed when
        there is one image, or one prompt set per image in order.
    multimask_output
        Three candidate masks instead of one.

    Returns
    -------
    low_res_logits
        (N, 1 or 3, 4h, 4w).
    iou_predictions
        (N, 1 or 3), the model's own guess at each mask's IoU.

    Raises
    ------
    PromptError
        If there is no prompt, or it is unclear which image a prompt belongs to.
    """
    low_res_logits, scores = decode_scored(
        sam,
        image_embedding,
        point_coords,
        point_labels,
        boxes=boxes,
        mask_input=mask_input,
        image_index=image_index,
        multimask_output=multimask_output,
    )
    return low_res_logits, chosen_scores(scores, multimask_output)


def decode_scored(
    sam: Sam,
    image_embedding: Tensor,
    point_coords: Tensor | None = None,
    point_labels: Tensor | None = None,
    *,
    boxes: Tensor | None = None,
    mask_input: Tensor | None = None,
    image_index: Tensor | None = None,
    multimask_output: bool = False,
) -> tuple[Tensor, Tensor]:
    """Do what `decode_masks` does, but return the guesses at all masks, (N, 4).

    The first is about the single mask, the others about the three candidates.
    """
    points = None
    if point_coords is not None and point_labels is not None:
        points = (point_coords, point_labels)
    if points is None and boxes is None and mask_input is None:
        raise PromptError("There is nothing to segment yet: give a click or a box.")
    sparse, dense = sam.prompt_encoder(points=points, boxes=boxes, masks=mask_input)
    n_prompts, n_images = sparse.shape[0], image_embedding.shape[0]
    if image_index is None:
        if n_images not in (1, n_prompts):
            raise PromptError(
                f"{n_prompts} prompt sets for {n_images} images: image_index must "
                "say which belongs to which."
            )
        features = image_embedding.expand(n_prompts, -1, -1, -1)
    else:
        features = image_embedding[image_index]
    return _decode(sam.mask_decoder, sam, features, sparse, dense, multimask_output)


def chosen_scores(scores: Tensor, multimask_output: bool) -> Tensor:
    """Return those of all scores (N, 4) that are about the masks asked for."""
    return scores[:, 1:] if multimask_output else scores[:, :1]


def mask_weights(
    decoder: MaskDecoder, queries: Tensor, multimask_output: bool
) -> Tensor:
    """Return what the masks are sums of upscaled channels with.

    Parameters
    ----------
    decoder
        Only its hypernetworks are used.
    queries
        (N, T, C), the output tokens after the transformer, then the prompts'.
    multimask_output
        Three masks instead of one.

    Returns
    -------
    Tensor
        (N, 1 or 3, C / 8).
    """
    chosen = range(1, decoder.num_mask_tokens) if multimask_output else (0,)
    hypernetworks = decoder.output_hypernetworks_mlps
    return torch.stack([hypernetworks[i](queries[:, 1 + i]) for i in chosen], dim=1)


def _decode(
    decoder: MaskDecoder,
    sam: Sam,
    features: Tensor,
    sparse: Tensor,
    dense: Tensor,
    multimask_output: bool,
) -> tuple[Tensor, Tensor]:
    """Do what ``MaskDecoder.forward`` does, with one image per prompt set.

    Stock SAM repeats every image for every prompt, which for B images with a
    prompt each would decode B * B masks.
    """
    n_prompts, channels, height, width = features.shape
    output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output_tokens.expand(n_prompts, -1, -1), sparse], dim=1)
    image_pe = sam.prompt_encoder.get_dense_pe().expand(n_prompts, -1, -1, -1)
    queries, keys = decoder.transformer(features + dense, image_pe, tokens)
    grid = keys.transpose(1, 2).reshape(n_prompts, channels, height, width)
    upscaled = decoder.output_upscaling(grid)
    weights = mask_weights(decoder, queries, multimask_output)
    low_res_logits = (weights @ upscaled.flatten(2)).unflatten(2, upscaled.shape[2:])
    return low_res_logits, decoder.iou_prediction_head(queries[:, 0])
