"""How well words fit the regions of an image: three scores of a text against an image, for all pairs at once.

Source: Huang et al., "GLoRIA: A Multimodal Global-Local Representation Learning Framework for Label-efficient Medical
Image Recognition", ICCV 2021; Yang et al., "Visualize What You Learn" (the same form, averaged over an exam's views).
Their code takes one text after the other and repeats it for each image and view; here all pairs come of few products.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from common.layers.masking import masked_softmax
from common.losses.double_softmax import attended_projection
from common.utils.choices import check_choice
from common.utils.precision import at_least_float32

__all__ = [
    "JOININGS",
    "cosine_scores",
    "double_softmax_scores",
    "in_chunks",
    "sentence_attention",
    "sentence_scores",
    "word_attention",
]

JOININGS = ("sum", "mean")
BUDGET = 2**22  # numbers in the largest intermediate; a few such exist at a time, 16 MiB each
GROUP = 2**19  # the same where smaller is faster
SMALLEST = 1e-8  # length below which a vector has no direction


def double_softmax_scores(
    region: Tensor,
    word: Tensor,
    word_mask: Tensor,
    region_mask: Tensor | None = None,
    attention: float = 4.0,
    word_scale: float = 5.0,
    joining: str = "sum",
    budget: int = GROUP,
) -> Tensor:
    """Score texts against images as published.

    With a_kr = word_k · region_r: p = softmax of a over the words k, α_k = softmax of attention · p_k over the regions,
    u_k = Σ_r α_kr region_r, score = log Σ_k exp(word_scale · cos(word_k, u_k)).

    u_k is not built where another way is shorter: word_k · u_k = Σ_r α_kr a_kr, and |u_k|² = α_kᵀ G α_k with the
    image's Gram matrix G. Images and texts are taken in groups, and what is too large to keep is computed again in the
    backward pass, so that memory is bounded whatever the batch.

    Args:
        region: region vectors (B,D,R) of B images.
        word: word vectors (C,T,D) of C texts.
        word_mask: (C,T) bool, False for padding; what stands there does not matter.
        region_mask: (B,R) bool, the regions that count; None for all.
        attention: the larger, the more the likeliest regions decide.
        word_scale: the larger, the more the best words decide.
        joining: ``"sum"``, or ``"mean"``: less the logarithm of the number of words.
        budget: numbers that an intermediate of a group, (images,texts,T,R), may have; more than the processor's cache
            holds is slower.

    Returns:
        Scores (B,C), at least float32; 0 where a text has no word or an image no region.

    Raises:
        ValueError: for an unknown joining or shapes that do not fit.
    """
    region, word, region_mask = _checked(region, word, word_mask, region_mask, joining)
    row = word.shape[1] * region.shape[2]
    texts = max(1, budget // row)
    group = max(1, budget // (min(texts, len(word)) * row))
    with torch.autocast(region.device.type, enabled=False):
        parts = [
            attended_projection(region, part, mask, region_mask, attention, group)
            for part, mask in zip(word.split(texts), word_mask.split(texts), strict=True)
        ]
        cosine = torch.cat(parts, 1) / word.norm(dim=2).clamp(min=SMALLEST)
    return _joined(cosine, word_mask, word_scale, joining) * region_mask.any(1).unsqueeze(1)


def cosine_scores(
    region: Tensor,
    word: Tensor,
    word_mask: Tensor,
    region_mask: Tensor | None = None,
    sharpness: Tensor | float = 10.0,
    word_scale: float = 5.0,
    joining: str = "mean",
    budget: int = BUDGET,
) -> Tensor:
    """Score texts against images with one softmax, over the regions.

    α_k = softmax of sharpness · cos(word_k, region_r) over the regions, u_k = Σ_r α_kr region_r, and the score is
    log Σ_k exp(word_scale · cos(word_k, u_k)) / word_scale: near the best words' cosine. A word's attention does not
    depend on the other words, and regions of several views are weighed against each other.

    Args:
        region: region vectors (B,D,R), of all views of an exam or a side.
        word: word vectors (C,T,D).
        word_mask: (C,T) bool.
        region_mask: (B,R) bool; None for all.
        sharpness: the larger, the more the likest regions decide; may be learned.
        word_scale: the larger, the more the best words decide.
        joining: ``"mean"``, a mean of exponentials within [-1, 1], or ``"sum"``.
        budget: numbers that the largest intermediate may have.

    Returns:
        Scores (B,C), at least float32; 0 where a text has no word or an image no region.

    Raises:
        ValueError: for an unknown joining or shapes that do not fit.
    """
    region, word, region_mask = _checked(region, word, word_mask, region_mask, joining)
    length = region.norm(dim=1).clamp(min=SMALLEST)
    gram = _gram(region)

    def chunk(part: Tensor, mask: Tensor) -> Tensor:
        product, likeness = _products(region, part)
        cosine = product / (length[:, None, None] * likeness.unsqueeze(-1))
        weight = masked_softmax(sharpness * cosine, region_mask[:, None, None], 3)
        joined = _joined(_attended_cosine(weight, product, likeness, region, gram), mask, word_scale, joining)
        return joined / word_scale

    scores = in_chunks(chunk, (word, word_mask), region.shape[0] * word.shape[1] * region.shape[2], budget, dim=1)
    return scores * region_mask.any(1).unsqueeze(1)


def sentence_scores(
    region: Tensor,
    sentence: Tensor,
    region_mask: Tensor | None = None,
    sharpness: Tensor | float = 10.0,
    budget: int = BUDGET,
) -> Tensor:
    """Score sentences against images: the cosines with the regions, weighed by a softmax of themselves.

    Args:
        region: unit region vectors (B,D,R), of all views of an exam or a side.
        sentence: unit sentence vectors (M,D).
        region_mask: (B,R) bool; None for all.
        sharpness: 0 gives the mean over the regions, a large number the likest region alone; may be learned.
        budget: numbers that the largest intermediate, (B,chunk,R), may have.

    Returns:
        Scores (B,M) in [-1, 1], at least float32; 0 where an image has no region.

    Raises:
        ValueError: for shapes that do not fit.
    """
    region, sentence = at_least_float32(region), at_least_float32(sentence)
    if region.ndim != 3 or sentence.ndim != 2 or region.shape[1] != sentence.shape[1]:
        raise ValueError(
            f"got regions of shape {tuple(region.shape)} and sentences of shape {tuple(sentence.shape)}, expected "
            "(B,D,R) and (M,D)"
        )
    mask = _given(region, region_mask)

    def chunk(part: Tensor) -> Tensor:
        cosine = torch.matmul(part, region)
        return (masked_softmax(sharpness * cosine, mask.unsqueeze(1), 2) * cosine).sum(2)

    scores = in_chunks(chunk, (sentence,), region.shape[0] * region.shape[2], budget, dim=1)
    return scores


def sentence_attention(
    region: Tensor, sentence: Tensor, region_mask: Tensor, sharpness: Tensor | float = 10.0
) -> Tensor:
    """Return what sentences look at in their own image.

    Args:
        region: unit region vectors (B,D,R).
        sentence: unit sentence vectors (B,N,D).
        region_mask: (B,N,R) bool, the regions that each sentence may look at.
        sharpness: see :func:`sentence_scores`.

    Returns:
        Attention (B,N,R), summing to 1 over the regions; 0 where there is none.
    """
    with torch.autocast(region.device.type, enabled=False):
        cosine = torch.matmul(at_least_float32(sentence), at_least_float32(region))
        return masked_softmax(sharpness * cosine, region_mask, 2)


def word_attention(
    region: Tensor, word: Tensor, word_mask: Tensor, region_mask: Tensor | None = None, attention: float = 4.0
) -> Tensor:
    """Return where the words of a text look in their own image, in the form of :func:`double_softmax_scores`.

    Args:
        region: region vectors (B,D,R).
        word: word vectors (B,T,D) of the text of each image.
        word_mask: (B,T) bool.
        region_mask: (B,R) bool; None for all.
        attention: see :func:`double_softmax_scores`.

    Returns:
        Attention (B,T,R), summing to 1 over the regions; 0 for padding.
    """
    region, word, region_mask = _checked(region, word, word_mask, region_mask, "sum")
    with torch.autocast(region.device.type, enabled=False):
        shared = masked_softmax(torch.matmul(word, region), word_mask.unsqueeze(2), 1)
        return masked_softmax(attention * shared, word_mask.unsqueeze(2) & region_mask.unsqueeze(1), 2)


def in_chunks(
    function: Callable[..., Tensor], rows: tuple[Tensor, ...], row_size: int, budget: int, dim: int = 0
) -> Tensor:
    """Apply a function to a few rows at a time, its intermediates computed again in the backward pass.

    Args:
        function: maps slices of the rows to a tensor in which they are axis ``dim``; called without autocast.
        rows: tensors with the same first axis.
        row_size: numbers of the largest intermediate per row.
        budget: numbers it may have; one row is computed even if it has more.
        dim: where the results are joined.

    Returns:
        The function of all rows.
    """
    count = rows[0].shape[0]
    size = max(1, budget // max(1, row_size))
    with torch.autocast(rows[0].device.type, enabled=False):
        if size >= count:
            return function(*rows)
        parts = [
            checkpoint(function, *(values[start : start + size] for values in rows), use_reentrant=False)
            for start in range(0, count, size)
        ]
        return torch.cat(parts, dim)


def _checked(
    region: Tensor, word: Tensor, word_mask: Tensor, region_mask: Tensor | None, joining: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return regions and words in a precise type, and a mask of regions; refuse what does not fit."""
    check_choice("joining", joining, JOININGS)
    if region.ndim != 3 or word.ndim != 3 or region.shape[1] != word.shape[2] or word_mask.shape != word.shape[:2]:
        raise ValueError(
            f"got regions of shape {tuple(region.shape)}, words of shape {tuple(word.shape)} and a word mask of shape "
            f"{tuple(word_mask.shape)}, expected (B,D,R), (C,T,D) and (C,T)"
        )
    precise = at_least_float32(word).masked_fill(~word_mask.unsqueeze(2), 0.0)  # padding may hold anything
    return at_least_float32(region), precise, _given(region, region_mask)


def _given(region: Tensor, region_mask: Tensor | None) -> Tensor:
    """Return the mask, or one of all regions."""
    if region_mask is None:
        return torch.ones(region.shape[0], region.shape[2], dtype=torch.bool, device=region.device)
    if region_mask.shape != (region.shape[0], region.shape[2]):
        raise ValueError(
            f"got a region mask of shape {tuple(region_mask.shape)} for regions of shape {tuple(region.shape)}, "
            "expected (B,R)"
        )
    return region_mask


def _gram(region: Tensor) -> Tensor | None:
    """Return the images' Gram matrices (B,R,R) where they are smaller than the regions themselves."""
    with torch.autocast(region.device.type, enabled=False):
        return region.transpose(1, 2) @ region if region.shape[2] < region.shape[1] else None


def _products(region: Tensor, word: Tensor) -> tuple[Tensor, Tensor]:
    """Return the products of words and regions (B,C,T,R), and the lengths (C,T) of the words."""
    product = torch.matmul(word.flatten(0, 1), region)
    return product.unflatten(1, word.shape[:2]), word.norm(dim=2).clamp(min=SMALLEST)


def _attended_cosine(weight: Tensor, product: Tensor, length: Tensor, region: Tensor, gram: Tensor | None) -> Tensor:
    """Return the cosines (B,C,T) of words with the regions they attend to."""
    flat = weight.flatten(1, 2)
    if gram is None:
        norm = torch.matmul(flat, region.transpose(1, 2)).norm(dim=2)
    else:
        norm = (torch.matmul(flat, gram) * flat).sum(2).clamp(min=SMALLEST**2).sqrt()
    along = (weight * product).sum(3)
    return along / (norm.clamp(min=SMALLEST).view(along.shape) * length)


def _joined(cosine: Tensor, word_mask: Tensor, word_scale: float, joining: str) -> Tensor:
    """Join the cosines (B,C,T) of a text's words to one score (B,C)."""
    joined = (word_scale * cosine).masked_fill(~word_mask, -1e30).logsumexp(2)
    words = word_mask.sum(1)
    if joining == "mean":
        joined = joined - words.clamp(min=1).to(joined.dtype).log()
    return joined * (words > 0)
