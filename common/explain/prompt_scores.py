"""Redo the last step of a zero-shot answer: how well an exam fits each sentence, and where it fits a single word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from common.layers.masking import masked_mean
from common.layers.region_grid import attend_regions
from common.layers.word_joining import trim_padding
from common.networks import MultiViewReportNet

__all__ = ["PromptScores", "attend", "prompt_scores", "prompt_vectors", "word_maps"]

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class PromptScores:
    """How an exam fits the sentences about each finding: first those that state it, then those that deny it.

    Attributes:
        whole: cosines of the side's vector and the sentences' mean vector (S,F,2).
        part: attention-weighted cosines of regions (S,F,2).
        score: mean of both, each times its learned factor (S,F,2); a logit is the first less the second.
    """

    whole: Tensor
    part: Tensor
    score: Tensor


@torch.no_grad()
def prompt_vectors(network: MultiViewReportNet, token: Tensor, word: Tensor) -> tuple[Tensor, Tensor]:
    """Return the unit vectors along the means of prompts, to compare with sides and with regions.

    Args:
        network: encodes the prompts.
        token: (...,Q,T), up to Q prompts of each kind, 0 for padding and for prompts that do not exist.
        word: number of each token's word, of the same shape.

    Returns:
        Two of (...,D), on the CPU.
    """
    given = (token != 0).any(-1)
    text = network.encode_text(*trim_padding(token[given], word[given]))
    means = []
    for name in ("sentence", "sentence_local"):
        vectors = text[name].float().cpu()
        placed = vectors.new_zeros(*given.shape, vectors.shape[-1])
        placed[given.cpu()] = vectors
        means.append(F.normalize(masked_mean(placed, given.cpu().unsqueeze(-1), given.ndim - 1), dim=-1, eps=1e-8))
    return means[0], means[1]


@torch.no_grad()
def prompt_scores(network: MultiViewReportNet, output: Outputs) -> PromptScores:
    """Return how one exam fits the network's own prompts.

    Args:
        network: that has explained the exam.
        output: what it returned for the exam: "side_vector" (S,D), "region" (V,D,h,w), "region_mask" (V,h,w).
    """
    whole, part = prompt_vectors(network, network.prompt_token, network.prompt_word)
    sides = torch.as_tensor(output["side_vector"])
    cosine = (sides[:, None, None] * whole).sum(-1)
    own = network.membership.cpu()[:, None, None].expand(*part.shape[:-1], -1)
    local, _ = attend(network, output, part.flatten(0, 2), own.flatten(0, 2))
    local = local.view(cosine.shape)
    scaled = _factor(network.log_scale_global) * cosine + _factor(network.log_scale_local) * local
    return PromptScores(cosine, local, scaled / 2)


@torch.no_grad()
def attend(network: MultiViewReportNet, output: Outputs, vectors: Tensor, views: Tensor) -> tuple[Tensor, Tensor]:
    """Compare vectors with the regions of one exam.

    Args:
        network: that has encoded the exam.
        output: "region" (V,D,h,w) and "region_mask" (V,h,w) of the exam.
        vectors: unit vectors (P,D).
        views: which views each of them may look at (P,V), bool.

    Returns:
        Attention-weighted cosine (P,), and attention (P,V,h,w), 1 in sum over the views.
    """
    region, mask = torch.as_tensor(output["region"]).float(), torch.as_tensor(output["region_mask"]) > 0
    regions = region.permute(0, 2, 3, 1).flatten(0, 2)
    allowed = (mask[None] & views[:, :, None, None]).flatten(1)
    score, attention = attend_regions(regions[None], allowed[None], vectors, _factor(network.log_sharpness))
    return score[0], attention[0].view(-1, *mask.shape)


@torch.no_grad()
def word_maps(
    network: MultiViewReportNet, output: Outputs, words: Sequence[tuple[int, int, Sequence[tuple[int, int]]]]
) -> Tensor:
    """Return where one exam fits single words of the network's prompts, each inside its sentence.

    Args:
        network: that has explained the exam.
        output: as for :func:`attend`.
        words: side, finding, and for each stating prompt that counts its number and the number of the word in it; P
            times. Of several the unit vectors are averaged.

    Returns:
        Attention (P,V,h,w) over the views of the side, 1 in sum.
    """
    vectors, views = [], []
    for side, finding, places in words:
        prompts = [prompt for prompt, _ in places]
        token, word = network.prompt_token[side, finding, 0, prompts], network.prompt_word[side, finding, 0, prompts]
        text = network.encode_text(*trim_padding(token, word))["word_vector"].float().cpu()
        units = F.normalize(torch.stack([text[row, number] for row, (_, number) in enumerate(places)]), dim=1, eps=1e-8)
        vectors.append(units.mean(0))
        views.append(network.membership[side].cpu())
    return attend(network, output, F.normalize(torch.stack(vectors), dim=1, eps=1e-8), torch.stack(views))[1]


def _factor(logarithm: Tensor) -> Tensor:
    """Return a learned factor as the network applies it."""
    return logarithm.detach().float().cpu().exp().clamp(max=100.0)
