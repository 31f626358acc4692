"""What a record with prototypes says in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from common.explain.decision import predicted_classes
from common.explain.schema import Evidence, ExplanationRecord

__all__ = [
    "NOT_PROJECTED",
    "OTHER_PROTOTYPES",
    "UNKNOWN_SOURCE",
    "change_without",
    "explained_classes",
    "facts",
    "how_to_read",
    "leading_class",
    "number_of",
]

NOT_PROJECTED = (
    "The prototypes are not parts of training images: they were never projected onto any, so nobody can see what the "
    "image is compared with."
)
UNKNOWN_SOURCE = (
    "Which training images the prototypes are parts of is not known here: the file prototypes.json of this network's "
    "projection is missing."
)
OTHER_PROTOTYPES = (
    "The file prototypes.json describes other prototypes than the network has, so their training images are not shown."
)
MOST_EXPLAINED = 3
WHOSE = {
    "ensemble": "the mean of student ({student:.2f}) and teacher ({teacher:.2f})",
    "student": "the student's alone; the teacher says {teacher:.2f}",
    "teacher": "the teacher's alone; the student, whose reasons these are, says {student:.2f}",
}


def how_to_read(branches: bool, projected: bool, background: str | None = None) -> str:
    """Return how the card is to be read.

    Args:
        branches: whether the prototypes belong to one branch of two, the student.
        projected: whether the prototypes are parts of training images.
        background: name of the class that all others are held against; None where there is none.
    """
    like = "looks like that part of a training image" if projected else "is like that prototype"
    whose = "the student's" if branches else "the"
    sums = f"This part of the image {like}: similarity times weight, added up over the prototypes of a class, "
    if background is None:
        return f"{sums}is {whose} logit exactly."
    return f"{sums}less the same sum over those of '{background}', is {whose} logit exactly."


def number_of(item: Evidence) -> int:
    """Return the index of a prototype from its name in a record."""
    return int(item["name"].split()[-1])


def change_without(record: ExplanationRecord, item: Evidence) -> tuple[str, float, float]:
    """Return whose probability of a prototype's class, and what it is with and without the prototype.

    It is the prediction's, or, where the prediction is the teacher's alone, the student's.
    """
    name, details = item["class"], item["details"]
    probability = record["prediction"]["probabilities"][name]
    branches = record.get("branches", {})
    if branches and record["prediction"]["probabilities"] == branches["teacher"]:
        return "student", branches["student"][name], details["student_probability_without"]
    return "prediction", probability, details["probability_without"]


def explained_classes(record: ExplanationRecord) -> list[str]:
    """Return the classes that are explained one by one: the predicted ones, the most probable first, three at most.

    Where none is predicted, it is the most probable one.
    """
    probabilities = record["prediction"]["probabilities"]
    ranked = sorted(predicted_classes(record), key=lambda name: -probabilities[name])
    return ranked[:MOST_EXPLAINED] or [leading_class(record)]


def leading_class(record: ExplanationRecord) -> str:
    """Return the class that the words are about: the predicted one, of several or none the most probable."""
    probabilities = record["prediction"]["probabilities"]
    return max(predicted_classes(record) or record["classes"], key=lambda name: probabilities[name])


def facts(record: ExplanationRecord, output: str, without: NDArray[np.float64], classes: Sequence[str]) -> list[str]:
    """Return what the record says, one sentence a line.

    Args:
        record: with logits, branches where there are any, and evidence.
        output: of two branches, whose probability is the prediction.
        without: final probabilities (P, C) without each of the evidence.
        classes: names of the C classes.
    """
    name = leading_class(record)
    if "background" in record:
        return _facts_against(record["background"], record, without, classes)
    probability, logits = record["prediction"]["probabilities"][name], record["prediction"]["logits"]
    lines = []
    branches = record.get("branches", {})
    if branches:
        said = {branch: values[name] for branch, values in branches.items()}
        lines.append(f"p({name}) {probability:.2f}: {WHOSE[output].format(**said)}")
        lines += _disagreement(record)
    owner = "The student's logits" if branches else "Logits"
    ranked = sorted(logits, key=lambda each: -logits[each])[:3]
    lines.append(f"{owner}: {', '.join(f'{each} {logits[each]:.3f}' for each in ranked)}")
    own = [row for row, item in enumerate(record["evidence"]) if item["class"] == name]
    if own:
        lines.append(_counterfactual(record, own[0], without[own[0]], classes))
    return lines


def _facts_against(
    background: str, record: ExplanationRecord, without: NDArray[np.float64], classes: Sequence[str]
) -> list[str]:
    """Say of each explained class what stands against what, and what its first prototype decides."""
    prediction, shown = record["prediction"], explained_classes(record)
    predicted, lines = predicted_classes(record), list[str]()
    if not predicted:
        lines.append(f"No class reaches the threshold {prediction['threshold']:.3g}; {shown[0]} comes closest")
    sums, place = prediction["class_logits"], dict[str, list[int] | None]()
    for name in shown:
        said = f"{name}: {sums[name]:.3f} less {sums[background]:.3f} of {background} is logit "
        lines.append(f"{said}{prediction['logits'][name]:.3f}, p {prediction['probabilities'][name]:.2f}")
        own = [row for row, item in enumerate(record["evidence"]) if item["class"] == name]
        if own:
            lines.append(_counterfactual(record, own[0], without[own[0]], classes))
            place[name] = record["evidence"][own[0]].get("peak")
    for (name, peak), (other, its_peak) in combinations(place.items(), 2):
        if peak is not None and peak == its_peak:
            lines.append(f"The first prototypes of {name} and {other} look at the same place")
    rest = [name for name in predicted if name not in shown]
    return [*lines, f"Also predicted: {', '.join(rest)}"] if rest else lines


def _disagreement(record: ExplanationRecord) -> list[str]:
    """Say where the branches would each predict something else."""
    threshold = record["prediction"].get("threshold")
    said = {}
    for branch, values in record["branches"].items():
        if threshold is None:
            said[branch] = max(values, key=lambda name: values[name])
        else:
            said[branch] = ", ".join(name for name, value in values.items() if value >= threshold) or "none"
    if len(set(said.values())) == 1:
        return []
    return ["The branches disagree: " + ", ".join(f"the {branch} says {name}" for branch, name in said.items())]


def _counterfactual(record: ExplanationRecord, row: int, without: NDArray[np.float64], classes: Sequence[str]) -> str:
    """Say what the prediction would be without the prototype that speaks loudest for it."""
    item, name = record["evidence"][row], record["evidence"][row]["class"]
    whose, now, then = change_without(record, item)
    if whose == "student":
        return f"Without {item['name']}, the student's p({name}) would be {_change(now, then)}; the prediction stays"
    line = f"Without {item['name']}, p({name}) would be {_change(now, then)}"
    if "branches" in record:
        student = record["branches"]["student"][name]
        line += f" (the student's {_change(student, item['details']['student_probability_without'])})"
    if record["task"] == "multiclass":
        other = classes[int(without.argmax())]
        return line if other == name else f"{line}; the prediction would be {other}"
    falls = then < record["prediction"]["threshold"] <= now
    return f"{line}; {name} would not be predicted" if falls else line


def _change(now: float, then: float) -> str:
    """Return both in words, with a third decimal where two do not tell them apart."""
    digits = 2 if f"{now:.2f}" != f"{then:.2f}" else 3
    return f"{then:.{digits}f} instead of {now:.{digits}f}"
