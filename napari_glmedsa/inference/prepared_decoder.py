"""SAM's mask decoder made ready for one image, so that a click costs little.

The image takes part in every attention of the decoder with thousands of tokens, a set
of prompts with a handful. So the projections are moved to the side of the prompts:
their tokens meet the image in its own coordinates, and no projection of the image is
left to compute per click. What the first layer needs of it is the same for all clicks.
"""

import math
from typing import Any

import torch
from segment_anything.modeling import MaskDecoder, Sam
from segment_anything.modeling.common import MLPBlock
from segment_anything.modeling.transformer import (
    Attention,
    TwoWayAttentionBlock,
    TwoWayTransformer,
)
from torch import Tensor

from napari_glmedsa.inference.decode import decode_scored, mask_weights
from napari_glmedsa.inference.device import in_one_thread
from napari_glmedsa.inference.prepared_layers import TokenMLP, Upscaling

_FEW = 1024  # image tokens up to which waking threads takes longer than they save


class PreparedDecoder:
    """Answers prompts about one image with low-resolution logits.

    The numbers of `decode_scored` up to rounding, for inference. It keeps what it made
    of the decoder's weights, so it is valid while they stay as they are. A decoder that
    is wired in another way than SAM's own is run as it is.

    Parameters
    ----------
    sam
        The model; only its prompt encoder and mask decoder are used.
    image_embedding
        (1, C, h, w) float32 from the image encoder.
    """

    def __init__(self, sam: Sam, image_embedding: Tensor) -> None:
        self._sam = sam
        self._features = image_embedding
        n_tokens = image_embedding.shape[-2] * image_embedding.shape[-1]
        self._is_small = image_embedding.device.type == "cpu" and n_tokens <= _FEW
        self._is_stock = _is_stock(sam.mask_decoder)
        if self._is_stock:
            decoder = sam.mask_decoder
            dense = sam.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
            pe = sam.prompt_encoder.get_dense_pe()
            self._pe = pe.flatten(2)[0].T.contiguous()  # (h w, C)
            self._output_tokens = torch.cat(
                [decoder.iou_token.weight, decoder.mask_tokens.weight]
            )
            self._upscaling = Upscaling(decoder)
            self._mlps = [TokenMLP(layer.mlp) for layer in decoder.transformer.layers]
            self._first = _FirstLayer(decoder, image_embedding + dense, self._pe)

    def decode(
        self,
        point_coords: Tensor | None = None,
        point_labels: Tensor | None = None,
        *,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Run the prompt encoder and the mask decoder for one set of prompts.

        Parameters and results are those of `decode_scored` with N = 1: the guesses are
        about all four masks, whichever are asked for.

        Raises
        ------
        PromptError
            If there is no prompt.
        """
        no_prompt = point_coords is None and boxes is None and mask_input is None
        if no_prompt or not self._is_stock:
            return decode_scored(
                self._sam,
                self._features,
                point_coords,
                point_labels,
                boxes=boxes,
                mask_input=mask_input,
                multimask_output=multimask_output,
            )
        points = None if point_coords is None else (point_coords, point_labels)
        with in_one_thread(self._is_small):
            return self._decode(points, boxes, mask_input, multimask_output)

    def _decode(
        self,
        points: tuple[Tensor, Tensor | None] | None,
        boxes: Tensor | None,
        mask_input: Tensor | None,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        decoder: Any = self._sam.mask_decoder
        sparse, dense = self._sam.prompt_encoder(points, boxes, mask_input)
        first = self._first
        if mask_input is not None:  # another image, as far as the decoder can tell
            first = _FirstLayer(decoder, self._features + dense, self._pe)
        tokens = torch.cat([self._output_tokens, sparse[0]])
        queries, keys = self._transform(decoder.transformer, tokens, first)
        weights = mask_weights(decoder, queries[None], multimask_output)[0]
        height, width = self._features.shape[-2:]
        quality = decoder.iou_prediction_head(queries[:1])
        return self._upscaling(keys, weights, (height, width))[None], quality

    def _transform(
        self, transformer: TwoWayTransformer, tokens: Tensor, first: "_FirstLayer"
    ) -> tuple[Tensor, Tensor]:
        """Do what ``TwoWayTransformer.forward`` does, for tokens (T, C)."""
        queries, keys = first(transformer.layers[0], self._mlps[0], tokens)
        keys_pe = keys + self._pe
        for layer, mlp in zip(transformer.layers[1:], self._mlps[1:], strict=True):
            q = queries + tokens
            queries = layer.norm1(queries + _among_tokens(layer.self_attn, q, queries))
            attention = layer.cross_attn_token_to_image
            seen = _see(attention, queries + tokens, keys, keys_pe)
            queries = layer.norm2(queries + seen)
            queries = layer.norm3(queries + mlp(queries))
            attention = layer.cross_attn_image_to_token
            keys = _tell(attention, queries + tokens, queries, keys, keys_pe)
            keys = layer.norm4(keys)
            keys_pe = keys + self._pe
        attention = transformer.final_attn_token_to_image
        seen = _see(attention, queries + tokens, keys, keys_pe)
        return transformer.norm_final_attn(queries + seen), keys


class _FirstLayer:
    """The decoder's first layer, with all that it needs of the image."""

    def __init__(self, decoder: MaskDecoder, image: Tensor, pe: Tensor) -> None:
        layer = decoder.transformer.layers[0]
        see, tell = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
        self._keys = image.flatten(2)[0].T.contiguous()
        keys_pe = self._keys + pe
        self._seen_keys = _heads(see, see.k_proj(keys_pe)).mT.contiguous()
        self._seen_values = _heads(see, see.v_proj(self._keys)).contiguous()
        self._told_queries = _heads(tell, tell.q_proj(keys_pe)).mT.contiguous()

    def __call__(
        self, layer: TwoWayAttentionBlock, mlp: TokenMLP, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Map tokens (T, C) to queries of the same shape and keys (h w, C)."""
        queries = layer.norm1(_among_tokens(layer.self_attn, tokens, tokens))
        attention = layer.cross_attn_token_to_image
        q = _scaled(attention, attention.q_proj(queries + tokens))
        seen = (q @ self._seen_keys).softmax(-1) @ self._seen_values
        queries = layer.norm2(queries + attention.out_proj(_joined(seen)))
        queries = layer.norm3(queries + mlp(queries))
        attention = layer.cross_attn_image_to_token
        k = _scaled(attention, attention.k_proj(queries + tokens))
        shares = (k @ self._told_queries).softmax(1)
        keys = _add_told(attention, self._keys, shares, queries)
        return queries, layer.norm4(keys)


def _is_stock(decoder: MaskDecoder) -> bool:
    transformer = decoder.transformer
    return (
        type(decoder) is MaskDecoder
        and type(transformer) is TwoWayTransformer
        and all(
            type(layer) is TwoWayAttentionBlock and type(layer.mlp) is MLPBlock
            for layer in transformer.layers
        )
    )


def _see(attention: Attention, q: Tensor, keys: Tensor, keys_pe: Tensor) -> Tensor:
    """Let tokens (T, C) attend to an image (P, C)."""
    q = _scaled(attention, attention.q_proj(q))
    if _are_many(q):
        seen_keys = _heads(attention, attention.k_proj(keys_pe))
        seen_values = _heads(attention, attention.v_proj(keys))
        own: Tensor = (q @ seen_keys.mT).softmax(-1) @ seen_values
        return attention.out_proj(_joined(own))  # type: ignore[no-any-return]
    # The bias of k_proj moves all scores of a token alike, so it is without effect.
    q = q @ attention.k_proj.weight.view(*q.shape[::2], -1)
    shares = (q.flatten(0, 1) @ keys_pe.T).softmax(-1)
    seen = (shares @ keys).view(q.shape)
    weight = attention.v_proj.weight.view(len(q), -1, seen.shape[-1])
    values = _joined(seen @ weight.mT) + attention.v_proj.bias
    result: Tensor = attention.out_proj(values)
    return result


def _tell(
    attention: Attention, k: Tensor, queries: Tensor, keys: Tensor, keys_pe: Tensor
) -> Tensor:
    """Add to an image (P, C) what it attends to in tokens (T, C)."""
    k = _scaled(attention, attention.k_proj(k))
    if _are_many(k):
        told_queries = _heads(attention, attention.q_proj(keys_pe))
        return _add_told(attention, keys, (k @ told_queries.mT).softmax(1), queries)
    heads, n_tokens, channels = k.shape
    weight = attention.q_proj.weight.view(heads, channels, -1)
    bias = k @ attention.q_proj.bias.view(heads, channels, 1)
    scores = torch.addmm(bias.view(-1, 1), (k @ weight).flatten(0, 1), keys_pe.T).view(
        heads, n_tokens, -1
    )
    return _add_told(attention, keys, scores.softmax(1), queries)


def _add_told(
    attention: Attention, keys: Tensor, shares: Tensor, queries: Tensor
) -> Tensor:
    """Add the tokens' values to keys (P, C), by shares (heads, T, P)."""
    values = _heads(attention, attention.v_proj(queries))
    if _are_many(values):
        told = _joined(shares.mT @ values)
        return keys + attention.out_proj(told)  # type: ignore[no-any-return]
    weight = attention.out_proj.weight.view(-1, *values.shape[::2])
    # the shares of a head add up to one, so those of all bring the bias once
    bias = attention.out_proj.bias / len(values)
    values = values @ weight.permute(1, 2, 0) + bias
    return torch.addmm(keys, shares.flatten(0, 1).T, values.flatten(0, 1))


def _are_many(heads: Tensor) -> bool:
    """Whether it is the image that had better be projected, given (heads, T, d)."""
    return heads.shape[1] > heads.shape[2]


def _among_tokens(attention: Attention, q: Tensor, v: Tensor) -> Tensor:
    result: Tensor = attention(q[None], q[None], v[None])[0]
    return result


def _heads(attention: Attention, x: Tensor) -> Tensor:
    """Cut (N, C) into (heads, N, C / heads)."""
    return x.view(len(x), attention.num_heads, -1).transpose(0, 1)


def _scaled(attention: Attention, x: Tensor) -> Tensor:
    heads = _heads(attention, x)
    return heads / math.sqrt(heads.shape[-1])


def _joined(heads: Tensor) -> Tensor:
    return heads.transpose(0, 1).flatten(1)
