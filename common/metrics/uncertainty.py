"""The uncertainties of an image-level prediction by their names in metrics.json."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from common.layers.evidence import dissonance, mutual_information

__all__ = ["image_uncertainties"]


def image_uncertainties(outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return every uncertainty that can be had from the outputs of a network's ``explain``.

    Args:
        outputs: "probability" (B,C); "uncertainty" (B,1) and "evidence" (B,C) where the network has them.

    Returns:
        (B,) each, float64 on the CPU, larger where the network is less sure: ``uncertainty``, the network's own, or 1
        less the largest probability where it has none; ``least_confidence``, 1 less the largest probability; of
        networks with evidence also ``mutual_information`` and ``dissonance`` (:mod:`common.layers.evidence`).
    """
    least_confidence = 1 - outputs["probability"].cpu().double().amax(dim=1)
    own = outputs["uncertainty"].cpu().double().flatten() if "uncertainty" in outputs else least_confidence
    found = {"uncertainty": own, "least_confidence": least_confidence}
    if "evidence" in outputs:
        evidence = outputs["evidence"].cpu().double()
        found["mutual_information"] = mutual_information(evidence).flatten()
        found["dissonance"] = dissonance(evidence).flatten()
    return found
