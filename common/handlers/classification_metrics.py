"""Accuracy and AUROC while a training runs."""

from __future__ import annotations

from ignite.engine import Engine
from torch import Tensor

from common.handlers.collect import CollectHandler
from common.metrics.classification import classification_scores


class ClassificationMetrics(CollectHandler):
    """Compute accuracy, balanced accuracy and macro AUROC over an epoch, from "probability" (B, C) and "label" (B,).

    Computes nothing for a network that does not classify.
    """

    def select(self, engine: Engine) -> dict[str, Tensor]:
        """Keep probabilities and labels; nothing where either is unknown."""
        outputs = engine.state.output
        label = outputs.get("label")
        label = engine.state.batch.get("label") if label is None else label
        if label is None or "probability" not in outputs:
            return {}
        return {"probability": outputs["probability"].float(), "label": label}

    def compute(self, collected: dict[str, Tensor], engine: Engine) -> dict[str, float]:
        """Return the scores; one that the labels leave undefined (AUROC of one class) is left out."""
        scores = classification_scores(collected["probability"].numpy(), collected["label"].numpy())
        return {name: scores[name] for name in ("accuracy", "balanced_accuracy", "auroc") if name in scores}
