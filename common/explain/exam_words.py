"""What the record of an exam says in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from common.explain.decision import predicted_classes
from common.explain.schema import Evidence, ExplanationRecord

__all__ = ["exam_facts", "explained_prompts", "how_to_read", "shown_view", "unseen_sides"]

HOW_TO_READ = (
    "A finding's score is how much better the images fit sentences that state it than sentences that deny it. "
    "Coloured: where they fit best, of all places of that side; box: the brightest part."
)
WORD = " Ring: where the word alone fits best."
MOST_EXPLAINED = 4
PROJECTIONS = ("cc", "mlo", "ml", "lm", "ap", "pa")


def how_to_read(words: bool) -> str:
    """Return how the card is to be read; ``words``: whether single words are shown too."""
    return HOW_TO_READ + (WORD if words else "")


def shown_view(name: str) -> str:
    """Return the name of a view for people: "left MLO" of ``left_mlo``."""
    return " ".join(part.upper() if part in PROJECTIONS else part for part in name.split("_"))


def unseen_sides(sides: Sequence[str]) -> str:
    """Say that sides without a view are not spoken of."""
    named = " and ".join(sides)
    return f"No view of the {named} side was given: nothing is said about it." if len(sides) == 1 else (
        f"No view of the sides {named} was given: nothing is said about them."
    )  # fmt: skip


def explained_prompts(record: ExplanationRecord) -> list[Evidence]:
    """Return the prompts of the predicted classes, the most probable first, or of the most probable class."""
    probabilities = record["prediction"]["probabilities"]
    prompts = [item for item in record["evidence"] if item["kind"] == "prompt"]
    ranked = sorted(prompts, key=lambda item: -probabilities[item["class"]])
    predicted = [item for item in ranked if item["class"] in predicted_classes(record)]
    return predicted[:MOST_EXPLAINED] or ranked[:1]


def exam_facts(record: ExplanationRecord) -> list[str]:
    """Return a sentence for each explained class."""
    return [_fact(record, item) for item in explained_prompts(record)]


def _fact(record: ExplanationRecord, item: Evidence) -> str:
    name, details = item["class"], item["details"]
    fits = "better" if item["contribution"] >= 0 else "worse"
    said = (
        f"{name}, probability {record['prediction']['probabilities'][name]:.2f}: sentences that state it fit "
        f"{abs(item['contribution']):.2f} {fits} than those that deny it"
    )
    if "view" not in item:
        return said
    view = shown_view(record["views"][item["view"]]["name"])
    return f"{said}, {details['attention_in_view']:.0%} of the attention in {view}"
