"""What a record says was decided, whether one class is true or several may be, and how it compares with the truth."""

from __future__ import annotations

from common.explain.schema import ExplanationRecord


def predicted_classes(record: ExplanationRecord) -> list[str]:
    """Return the predicted class; in a multi-label task all predicted classes, which may be none."""
    prediction = record["prediction"]
    return prediction["classes"] if record["task"] == "multilabel" else [prediction["class"]]


def true_classes(record: ExplanationRecord) -> list[str] | None:
    """Return the true class, or in a multi-label task all that are present; None where this is not known."""
    if "label" not in record:
        return None
    return record["label"]["classes"] if record["task"] == "multilabel" else [record["label"]["class"]]


def outcome_of(record: ExplanationRecord) -> str:
    """Return "correct" if exactly the true classes are predicted, else "wrong"; "" where they are not known."""
    true = true_classes(record)
    if true is None:
        return ""
    return "correct" if predicted_classes(record) == true else "wrong"


def verdict(record: ExplanationRecord) -> tuple[str, str]:
    """Return the prediction in words, and "correct", "wrong" or "" where the true classes are not known."""
    probabilities = record["prediction"]["probabilities"]
    said = ", ".join(f"{name} ({probabilities[name]:.2f})" for name in predicted_classes(record))
    words = f"Predicted {said or 'none of the classes'}"
    true = true_classes(record)
    if true is not None:
        words += f", true {', '.join(true) or 'none of the classes'}"
    return words, outcome_of(record)


def confidence_of(record: ExplanationRecord) -> float:
    """Return the probability of the predicted class; in a multi-label task, of the answer it is least sure of."""
    probabilities = record["prediction"]["probabilities"]
    if record["task"] == "multiclass":
        return probabilities[record["prediction"]["class"]]
    predicted = predicted_classes(record)
    return min(value if name in predicted else 1 - value for name, value in probabilities.items())


def error_of(record: ExplanationRecord) -> float | None:
    """Return how much probability the truth was denied, at most over the classes; None where it is not known."""
    true = true_classes(record)
    if true is None:
        return None
    probabilities = record["prediction"]["probabilities"]
    if record["task"] == "multiclass":
        return 1 - probabilities[true[0]]
    return max(1 - value if name in true else value for name, value in probabilities.items())


def uncertainty_of(record: ExplanationRecord) -> float | None:
    """Return the uncertainty of the decision, or None from methods that do not tell it."""
    return record.get("uncertainty", {}).get("class")
