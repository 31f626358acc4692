"""The word-region loss as published: one caption after the other, each repeated for every image and view."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["looped_scores"]


def looped_scores(region: Tensor, word: Tensor, lengths: list[int], attention: float, word_scale: float) -> Tensor:
    """Score every caption against every image.

    Args:
        region: region vectors (B,D,R).
        word: word vectors (C,T,D).
        lengths: words of each caption.
        attention: factor of the softmax over regions.
        word_scale: factor of the words' cosines.

    Returns:
        Scores (B,C).
    """
    scores = []
    for caption, length in zip(word, lengths, strict=True):
        words = caption[:length].T.unsqueeze(0).repeat(len(region), 1, 1)  # (B,D,T)
        by_region = region.transpose(1, 2).contiguous()
        product = torch.bmm(by_region, words)  # (B,R,T)
        shared = product.softmax(2).transpose(1, 2).contiguous()
        weight = (shared * attention).softmax(2)  # (B,T,R)
        context = torch.bmm(region, weight.transpose(1, 2).contiguous())  # (B,D,T)
        ours, theirs = (values.transpose(1, 2).contiguous() for values in (words, context))
        lengths_of = ours.norm(dim=2) * theirs.norm(dim=2)
        cosine = (ours * theirs).sum(2) / lengths_of.clamp(min=1e-8)
        scores.append((cosine * word_scale).exp().sum(1).log())
    return torch.stack(scores, 1)
