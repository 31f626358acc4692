"""How a method tells its explanation: an object that turns one case's outputs into a record, files and a card.

A new method writes one class with a method ``describe`` and names it in its configuration; saver, folders, gallery and
report stay as they are. :class:`common.explain.relevance_map.RelevanceMap` is the shortest example.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from common.data.placement import Placement
from common.explain.card import Card
from common.explain.record import case_record
from common.explain.regions import FloatArray, resample_map
from common.explain.schema import ExplanationRecord


@dataclass(frozen=True)
class Case:
    """One case as a network saw it, and what is known about it.

    Attributes:
        case_id: name of the case in the datalist.
        method: name of the bundle.
        classes: names of the C classes.
        task: "multiclass" or "multilabel".
        threshold: of a multi-label prediction.
        image_path: the image as the datalist gives it, by the last parts of its path.
        placement: where in the source image lies what the network was given.
        image: what the network was given, (D, H, W) in [0, 1]; of an exam of V views (V, D, H, W).
        output: what the network's ``explain`` returned for the case, each without the batch axis.
        batch: everything that the batch holds for the case.
        item: the case as the datalist has it.
        label: the true class, or 0 or 1 for each class; None where it is not known.
        patient_id: only where the user's table gives one.
        placements: of an exam of V views that of each view, of which ``placement`` is the first; else none.
    """

    case_id: str
    method: str
    classes: Sequence[str]
    task: str
    threshold: float
    image_path: str
    placement: Placement
    image: FloatArray
    output: Mapping[str, NDArray[Any]]
    batch: Mapping[str, Any] = field(default_factory=dict)
    item: Mapping[str, Any] = field(default_factory=dict)
    label: Any = None
    patient_id: str | None = None
    placements: Sequence[Placement] = ()

    def record(self, how_to_read: str, uncertainty: Mapping[str, float] | None = None) -> ExplanationRecord:
        """Return the part of the record that every method has, from the output "probability" (C,).

        Args:
            how_to_read: one sentence that tells a reader what the explanation means.
            uncertainty: named numbers, ``class`` for that of the decision.
        """
        record = case_record(
            method=self.method,
            how_to_read=how_to_read,
            case_id=self.case_id,
            image_path=self.image_path,
            source_size=self.placement.source_size,
            classes=self.classes,
            probabilities=self.output["probability"],
            label=self.label,
            task=self.task,
            threshold=self.threshold,
            patient_id=self.patient_id,
            uncertainty=uncertainty,
        )
        if not self._is_whole():
            record["image"]["crop"] = list(self.window())
        return record

    def to_source(self, values: NDArray[Any], mode: str = "bilinear") -> FloatArray:
        """Put arrays over the network's input back into the source image; 0 where the network has seen nothing.

        Args:
            values: (..., h, w) in any resolution.
            mode: "bilinear", averaged where the image shrinks, or "nearest-exact" for indices.

        Returns:
            (..., H, W) with the size of the source image.
        """
        size = self.placement.source_size
        if self._is_whole() and mode == "bilinear":
            flat = values.reshape(-1, *values.shape[-2:])
            return np.stack([resample_map(one, size) for one in flat]).reshape(*values.shape[:-2], *size)
        return self.placement.to_source(torch.from_numpy(np.array(values, dtype=np.float32)), mode).numpy()

    def seen(self, values: NDArray[Any], mode: str = "bilinear") -> FloatArray:
        """Return arrays (..., h, w) over the network's input as they lie over the part of the source that was seen.

        For pictures: as they are where that is the whole image, else in source pixels.
        """
        if self._is_whole():
            return np.asarray(values, dtype=np.float32)
        x0, y0, x1, y1 = self.window()
        return self.to_source(values, mode)[..., y0:y1, x0:x1]

    def window(self) -> tuple[int, int, int, int]:
        """Return the part of the source image that was seen, x0, y0, x1, y1, without padding."""
        (rows, columns), (x0, y0, x1, y1) = self.placement.source_size, self.placement.crop
        return max(x0, 0), max(y0, 0), min(x1, columns), min(y1, rows)

    def _is_whole(self) -> bool:
        rows, columns = self.placement.source_size
        return self.placement.crop == (0, 0, columns, rows) and not self.placement.flipped


@dataclass(frozen=True)
class Explanation:
    """What is left of a case: its record, the arrays beside it, and a card that is drawn only if it is wanted.

    Attributes:
        record: becomes ``explanation.json``.
        arrays: file name to array (rows, columns): floats in [0, 1] become 16-bit grey, integers from 0 to 255 8-bit.
        draw: draws the card.
        archives: file name to named arrays of any shape, which become an NPZ file.
    """

    record: ExplanationRecord
    arrays: Mapping[str, NDArray[Any]]
    draw: Callable[[], Card]
    archives: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)


class Describer(Protocol):
    """What a method has to offer."""

    def describe(self, case: Case) -> Explanation:
        """Return the explanation of one case.

        Raises:
            ValueError: if the outputs do not hold what the method explains itself with, saying what is missing.
        """
        ...


def shown_path(path: str | Path) -> str:
    """Return a path that says which file without telling where this machine keeps it."""
    return "/".join(Path(path).parts[-2:])
