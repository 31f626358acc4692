"""Write how well lesions are found and outlined in every view of exams, lesion by lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from common.handlers.classification_report import patient_of
from common.losses.exam_segmentation import lesion_target
from common.metrics.bootstrap import mean_interval
from common.metrics.lesions import image_dice, lesion_overlaps, match_lesions
from common.metrics.localisation import Detections, froc_points, froc_table
from common.utils.files import update_json

TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
RATES = (0.125, 0.25, 0.5, 1, 2)


class LesionReport:
    """Write FROC, overlaps of lesions and Dice of images to ``metrics.json``, the FROC curve to ``curves.json``.

    An image is a view of which it is known where every finding is; a lesion a connected part of what is outlined there.
    Views without a lesion count: their marks are false, and they are silent or not. Intervals are 95 % bootstrap
    intervals over patients. For evaluation in one process. Nothing is written where nothing is known.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        items: Sequence[Mapping[str, Any]] = (),
        threshold: float = 0.5,
        tious: Sequence[float] = TIOUS,
        false_marks: Sequence[float] = RATES,
        distance: int = 4,
        seed: int = 0,
    ) -> None:
        """Say what to measure.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            items: the split's items, for their patients.
            threshold: probability from which on a pixel is drawn, for overlaps and Dice.
            tious: overlaps above which a lesion is found.
            false_marks: false marks per image at which the sensitivity is written.
            distance: of two marks, in pixels of the network's input.
            seed: of the bootstrap.

        Raises:
            ValueError: if a threshold is out of range.
        """
        if not 0 < threshold < 1 or not all(0 <= tiou < 1 for tiou in tious):
            raise ValueError(
                f"threshold is {threshold} and tious {list(tious)}, expected a probability between 0 and 1, and "
                "overlaps from 0 up to, not including, 1"
            )
        self.output_dir = Path(output_dir)
        self.split = split
        self.patients = patient_of(items)
        self.threshold = threshold
        self.tious, self.false_marks = list(tious), list(false_marks)
        self.distance = distance
        self.seed = seed
        self._seen = _Seen()

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._measure)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._seen = _Seen()

    def _measure(self, engine: Engine) -> None:
        batch, output, seen = engine.state.batch, engine.state.output, self._seen
        lesion, known = lesion_target(batch)
        maps = output["segmentation_probability"].float()
        for row, view in known.nonzero().tolist():
            case = str(batch["case_id"][row])
            values, truth = maps[row, view].cpu().numpy(), lesion[row, view].cpu().numpy()
            drawn = values >= self.threshold
            overlaps = lesion_overlaps(drawn, truth)
            seen.image_group.append(self.patients.get(case, case))
            seen.marked.append(match_lesions(values, truth, self.distance))
            seen.dice.append(image_dice(drawn, truth))
            seen.silent.append(not drawn.any())
            seen.overlap += overlaps.tolist()
            seen.lesion_group += [self.patients.get(case, case)] * len(overlaps)

    def _write(self, engine: Engine) -> None:
        seen = self._seen
        if not seen.marked:
            return
        groups = np.array(seen.image_group)
        froc = froc_table(seen.marked, self.false_marks, groups, self.seed)
        table = {f"lesion_{name}": entry for name, entry in froc.items()}
        with_lesion = np.array([found.targets > 0 for found in seen.marked])
        dice, silent = np.array(seen.dice), np.array(seen.silent, dtype=np.float64)
        overlap, lesion_group = np.array(seen.overlap), np.array(seen.lesion_group)
        means = {f"lesion_tiou/{tiou:g}": (overlap > tiou, lesion_group) for tiou in self.tious}
        means |= {
            "lesion_iou": (overlap, lesion_group),
            "lesion_dice": (dice[with_lesion], groups[with_lesion]),
            "lesion_dice_all": (dice, groups),
            "lesion_silence": (silent[~with_lesion], groups[~with_lesion]),
        }
        for name, (values, owner) in means.items():
            table[name] = mean_interval(values, owner, seed=self.seed).as_record()
        update_json(self.output_dir / "metrics.json", {self.split: table})
        update_json(self.output_dir / "curves.json", {self.split: {"lesion_froc": froc_points(seen.marked)}})


class _Seen:
    """What is kept of images and lesions."""

    def __init__(self) -> None:
        self.image_group: list[str] = []
        self.marked: list[Detections] = []
        self.dice: list[float] = []
        self.silent: list[bool] = []
        self.overlap: list[float] = []
        self.lesion_group: list[str] = []
