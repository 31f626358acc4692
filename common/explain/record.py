"""Write and read ``explanation.json``, the record that cards and reports are drawn from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from common.explain.record_check import check_record
from common.explain.regions import Size
from common.explain.schema import SCHEMA, SCHEMA_VERSION, TASKS, ExplanationRecord, Label, Prediction
from common.utils.choices import check_choice
from common.utils.files import write_json


def case_record(
    *,
    method: str,
    how_to_read: str,
    case_id: str,
    image_path: str | Path,
    source_size: Size,
    classes: Sequence[str],
    probabilities: ArrayLike,
    label: Any = None,
    task: str = "multiclass",
    threshold: float = 0.5,
    patient_id: str | None = None,
    uncertainty: Mapping[str, float] | None = None,
) -> ExplanationRecord:
    """Write down what every method says about a case; the method adds its evidence and a summary.

    Args:
        method: name of the bundle that explains.
        how_to_read: one sentence that tells a reader what the explanation means.
        case_id: name of the case in the datalist.
        image_path: the image as the datalist gives it.
        source_size: rows and columns of the image file, in pixels.
        classes: names, in the order of the network's outputs.
        probabilities: (C,) in [0, 1].
        label: where known, the index of the true class; in a multi-label task 0 or 1 for each class, (C,).
        task: "multiclass", where exactly one class is true, or "multilabel".
        threshold: in a multi-label task a class is predicted from this probability on.
        patient_id: only where the user's table gives one.
        uncertainty: named numbers, for methods that know how sure they are; ``class`` is that of the decision.

    Raises:
        ValueError: for values outside these ranges, saying what was given and what was expected.
    """
    check_choice("task", task, TASKS)
    record = ExplanationRecord(
        schema=SCHEMA,
        schema_version=SCHEMA_VERSION,
        method=method,
        how_to_read=how_to_read,
        case_id=case_id,
        image={"path": str(image_path), "rows": int(source_size[0]), "columns": int(source_size[1])},
        task=task,
        classes=list(classes),
        prediction=_prediction(probabilities, classes, None if task == "multiclass" else threshold, case_id),
        evidence=[],
        summary=[],
    )
    if patient_id is not None:
        record["patient_id"] = patient_id
    if label is not None:
        record["label"] = _label(label, task, classes, case_id)
    if uncertainty is not None:
        record["uncertainty"] = {name: float(value) for name, value in uncertainty.items()}
    return check_record(record, f"case '{case_id}'")


def save_record(path: str | Path, record: ExplanationRecord) -> None:
    """Write ``explanation.json``; the record is checked first, so that what is on disk can be read again."""
    checked = cast(dict[str, Any], check_record(record, str(path)))
    write_json(path, {name: checked[name] for name in ExplanationRecord.__annotations__ if name in checked})


def load_record(path: str | Path) -> ExplanationRecord:
    """Read and check ``explanation.json``.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is not JSON or not a record; the message begins with the path.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error}); explain this case again") from error
    return check_record(content, str(path))


def _prediction(probabilities: ArrayLike, classes: Sequence[str], threshold: float | None, case_id: str) -> Prediction:
    values = np.asarray(probabilities, dtype=np.float64)
    if values.shape != (len(classes),):
        raise ValueError(
            f"case '{case_id}': probabilities have shape {values.shape}, expected ({len(classes)},), "
            f"one for each class of {list(classes)}"
        )
    named = {name: float(value) for name, value in zip(classes, values, strict=True)}
    if threshold is None:
        index = int(values.argmax())
        return {"index": index, "class": classes[index], "probabilities": named}
    present = [name for name, value in named.items() if value >= threshold]
    return {"classes": present, "threshold": float(threshold), "probabilities": named}


def _label(label: Any, task: str, classes: Sequence[str], case_id: str) -> Label:
    values = np.asarray(label)
    if task == "multiclass":
        if values.ndim != 0 or int(values) != values:
            raise ValueError(
                f"case '{case_id}': the label is {values.tolist()}, expected the index of one class; where several "
                "classes may be present, set task to 'multilabel'"
            )
        index = int(values)
        return {"index": index, "class": classes[index] if 0 <= index < len(classes) else ""}
    if values.shape != (len(classes),) or not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"case '{case_id}': the label is {values.tolist()}, expected 0 or 1 for each of the {len(classes)} classes"
        )
    return {"classes": [name for name, value in zip(classes, values, strict=True) if value]}
