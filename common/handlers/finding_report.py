"""Write how well a classifier tells the findings of each side of exams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from common.handlers.classification_report import patient_of
from common.metrics.zero_shot import ExamScores, side_table, zero_shot_table
from common.utils.files import update_json


class FindingReport:
    """Write AUROC and average precision of each finding to ``metrics.json``, both sides of exams together.

    These are the numbers of :class:`common.handlers.ZeroShotReport`, under the names ``finding_...``, of a network that
    has learned from labels: what zero-shot answers are to be compared with. Sides without an image are left out. For
    evaluation in one process.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        sides: Sequence[str],
        findings: Sequence[str],
        items: Sequence[Mapping[str, Any]] = (),
        seed: int = 0,
    ) -> None:
        """Say what to write.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            sides: names of the S sides.
            findings: names of the F findings.
            items: the split's items, for their patients.
            seed: of the bootstrap.
        """
        self.output_dir = Path(output_dir)
        self.split = split
        self.sides, self.findings = list(sides), list(findings)
        self.patients = patient_of(items)
        self.seed = seed
        self._case: list[str] = []
        self._kept: dict[str, list[Tensor]] = {}

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._case, self._kept = [], {"logits": [], "label": [], "side_mask": []}

    def _keep(self, engine: Engine) -> None:
        batch, output = engine.state.batch, engine.state.output
        shape = (-1, len(self.sides), len(self.findings))
        if batch["label"].shape != output["logits"].shape or output["logits"].shape[1] != shape[1] * shape[2]:
            raise ValueError(
                f"labels have shape {tuple(batch['label'].shape)} and logits {tuple(output['logits'].shape)}, expected "
                f"for both one value for each of {shape[1]} sides and {shape[2]} findings of an exam"
            )
        self._case += [str(case) for case in batch["case_id"]]
        self._kept["logits"].append(output["logits"].reshape(shape).cpu())
        self._kept["label"].append(batch["label"].reshape(shape).cpu())
        self._kept["side_mask"].append(output["side_mask"].bool().cpu())

    def _write(self, engine: Engine) -> None:
        if not self._case:
            return
        score, label, present = (torch.cat(self._kept[name]).numpy() for name in ("logits", "label", "side_mask"))
        groups = [self.patients.get(case, case) for case in self._case]
        exams = ExamScores(score.astype("f8"), label.astype("f8"), present, self.findings, groups, self.seed)
        table = zero_shot_table(exams) | side_table(exams)
        named = {name.replace("zero_shot_", "finding_", 1): entry for name, entry in table.items()}
        update_json(self.output_dir / "metrics.json", {self.split: named})
