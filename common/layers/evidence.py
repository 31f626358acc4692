"""Evidence and the opinion it stands for, for image-level (B,C) and pixel-level (B,C,H,W) classes alike.

Evidence e >= 0 of C classes is the Dirichlet distribution with parameters e + 1. No function returns those parameters:
they are easily mistaken for probabilities.

Sources: Ren et al., "Uncertainty-informed Mutual Learning for Joint Medical Image Classification and Segmentation",
MICCAI 2023; Jøsang, "Subjective Logic", Springer 2016. All functions can be scripted and return float32 (float64 for
float64 input), also under autocast.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from common.utils.precision import at_least_float32

__all__ = [
    "EVIDENCE_ACTIVATIONS",
    "dissonance",
    "entropy_of_mean",
    "evidence_from",
    "expected_entropy",
    "mutual_information",
    "opinion",
    "vacuity",
]

EVIDENCE_ACTIVATIONS = ("softplus", "relu", "exp")
"""How the raw output of a network may become evidence."""


def evidence_from(raw: Tensor, activation: str = "softplus") -> Tensor:
    """Make evidence of the raw output of a network.

    A sample with almost no evidence gets almost no gradient through ``"softplus"`` and none through ``"relu"``
    (Pandey and Yu, ICML 2023); ``"exp"`` learns faster there.

    Args:
        raw: any real numbers, any shape.
        activation: ``"softplus"`` (published), ``"relu"`` or ``"exp"``, cut at exp(10) = 22 026: far beyond what data
            support, far below overflow.

    Returns:
        Evidence, at least 0, of the same shape.

    Raises:
        ValueError: for an unknown activation.
    """
    values = at_least_float32(raw)
    if activation == "softplus":
        return F.softplus(values)
    if activation == "relu":
        return F.relu(values)
    if activation == "exp":
        return torch.exp(values.clamp(max=10.0))
    raise ValueError(f"evidence activation is '{activation}', expected one of softplus, relu, exp")


def opinion(evidence: Tensor, dim: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Form the opinion that evidence stands for; belief and uncertainty add up to 1.

    Args:
        evidence: evidence (B,C,...), at least 0.
        dim: the dimension of the classes.

    Returns:
        Probability (B,C,...), the mean of the Dirichlet distribution, (e + 1) / S with S = sum of (e + 1); belief
        (B,C,...), e / S; uncertainty (B,1,...) in (0,1], C / S: 1 without any evidence.
    """
    known = at_least_float32(evidence)
    strength = known.sum(dim, keepdim=True) + known.shape[dim]
    return (known + 1) / strength, known / strength, known.shape[dim] / strength


def vacuity(evidence: Tensor, dim: int = 1) -> Tensor:
    """Tell how much evidence is missing: the uncertainty of :func:`opinion`.

    Args:
        evidence: evidence (B,C,...), at least 0.
        dim: the dimension of the classes.

    Returns:
        Vacuity (B,1,...) in (0,1]; 1 without any evidence.
    """
    return opinion(evidence, dim)[2]


def dissonance(evidence: Tensor, dim: int = 1) -> Tensor:
    """Tell how much the evidence contradicts itself: beliefs in several classes, balanced against each other.

    Args:
        evidence: evidence (B,C,...), at least 0.
        dim: the dimension of the classes.

    Returns:
        Dissonance (B,1,...) in [0,1): sum over k of b_k times the mean balance 1 - |b_j - b_k| / (b_j + b_k) with the
        other classes j, weighted by b_j. 0 where only one class is believed in (Jøsang et al., FUSION 2018).
    """
    belief = opinion(evidence, dim)[1].movedim(dim, 0)
    tiny = 1e-30  # 0 / tiny is 0: classes without belief are in balance with nothing
    total = torch.zeros_like(belief[0])
    for k in range(belief.shape[0]):
        own, others = belief[k], torch.cat([belief[:k], belief[k + 1 :]])
        balance = 2 * torch.minimum(others, own) / (others + own).clamp(min=tiny)
        total = total + own * (others * balance).sum(0) / others.sum(0).clamp(min=tiny)
    return total.unsqueeze(dim)


def entropy_of_mean(evidence: Tensor, dim: int = 1) -> Tensor:
    """Measure the total uncertainty of the prediction: the entropy of the mean of the Dirichlet distribution.

    Args:
        evidence: evidence (B,C,...), at least 0.
        dim: the dimension of the classes.

    Returns:
        Entropy (B,1,...) in nats, from 0 to ln C.
    """
    return torch.special.entr(opinion(evidence, dim)[0]).sum(dim, keepdim=True)


def expected_entropy(evidence: Tensor, dim: int = 1) -> Tensor:
    """Measure the part of the uncertainty that more evidence would not remove: the mean entropy of the distribution.

    Args:
        evidence: evidence (B,C,...), at least 0.
        dim: the dimension of the classes.

    Returns:
        Entropy (B,1,...) in nats, sum over k of p_k (ψ(S + 1) - ψ(e_k + 2)), from 0 to ln C.
    """
    known = at_least_float32(evidence)
    strength = known.sum(dim, keepdim=True) + known.shape[dim]
    surprise = torch.digamma(strength + 1) - torch.digamma(known + 2)
    return ((known + 1) / strength * surprise).sum(dim, keepdim=True)


def mutual_information(evidence: Tensor, dim: int = 1) -> Tensor:
    """Measure the part of the uncertainty that more evidence would remove: entropy of the mean less mean entropy.

    Args:
        evidence: evidence (B,C,...), at least 0.
        dim: the dimension of the classes.

    Returns:
        Mutual information (B,1,...) of class and distribution in nats, at least 0.
    """
    return (entropy_of_mean(evidence, dim) - expected_entropy(evidence, dim)).clamp(min=0)
