"""Write how well findings are told by prompts alone, beside what simple filters tell without any learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from common.handlers.classification_report import patient_of
from common.metrics.image_filters import FILTERS, strongest_by_side
from common.metrics.zero_shot import ExamScores, held_out_table, side_table, zero_shot_table
from common.utils.choices import check_choice
from common.utils.files import update_json

TEXT_SIDE = "zero_shot_text_side/{finding}"


class ZeroShotReport:
    """Write zero-shot AUROC and average precision of each finding to ``metrics.json``.

    A case is one side of an exam; sides without an image are left out. Where there are two sides, it is also asked on
    which of them a finding is. Filters that look at brightness alone are asked the same, since a prompt is worth
    nothing where a filter does as well. Findings that the items' "held_out" names, combinations of words that the
    training has never shown, are scored by themselves. For evaluation in one process.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        sides: Sequence[str],
        findings: Sequence[str],
        view_side: Sequence[int],
        items: Sequence[Mapping[str, Any]] = (),
        filters: Sequence[str] = tuple(FILTERS),
        network: Any = None,
        seed: int = 0,
    ) -> None:
        """Say what to write.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            sides: names of the S sides.
            findings: names of the F findings.
            view_side: the side of each of the V views.
            items: the split's items, for their patients and "held_out": the names of an exam's combinations that the
                training has not shown, such as "left mass; right calcification", or whether all its findings are.
            filters: names in :data:`common.metrics.image_filters.FILTERS`.
            network: the network itself, without wrappers, to ask also whether the words "left" and "right" of its
                prompts find their side; None leaves that out.
            seed: of the bootstrap.

        Raises:
            ValueError: for an unknown filter.
        """
        for name in filters:
            check_choice("filters", name, FILTERS)
        self.output_dir = Path(output_dir)
        self.split = split
        self.sides, self.findings = list(sides), list(findings)
        self.view_side = list(view_side)
        self.patients = patient_of(items)
        self.held_out = {str(item["case_id"]): item["held_out"] for item in items if item.get("held_out")}
        self.filters = list(filters)
        self.network = network
        self.seed = seed
        self._case: list[str] = []
        self._kept: dict[str, list[Tensor]] = {}

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._case, self._kept = [], {}

    def _keep(self, engine: Engine) -> None:
        batch, output = engine.state.batch, engine.state.output
        image, shape = batch["image"], (-1, len(self.sides), len(self.findings))
        if batch["label"].shape != output["logits"].shape or output["logits"].shape[1] != shape[1] * shape[2]:
            raise ValueError(
                f"labels have shape {tuple(batch['label'].shape)} and logits {tuple(output['logits'].shape)}, expected "
                f"for both one value for each of {shape[1]} sides and {shape[2]} findings of an exam"
            )
        self._case += [str(case) for case in batch["case_id"]]
        values = {
            "logits": output["logits"].reshape(shape),
            "label": batch["label"].reshape(shape),
            "present": strongest_by_side(image[:, :, 0], self.view_side) > 0,
        }
        for name in self.filters:
            maps = FILTERS[name](image.flatten(0, 1)).unflatten(0, image.shape[:2])
            values[name] = strongest_by_side(maps, self.view_side)
        if self.network is not None:
            values["text_side"] = _best_by_text(self.network, output["side_vector"], values["present"])
        for name, value in values.items():
            self._kept.setdefault(name, []).append(value.detach().cpu())

    def _write(self, engine: Engine) -> None:
        if not self._case:
            return
        kept = {name: torch.cat(values).double().numpy() for name, values in self._kept.items()}
        groups = [self.patients.get(case, case) for case in self._case]
        present = kept["present"] > 0
        exams = ExamScores(kept["logits"], kept["label"], present, self.findings, groups, self.seed)
        table = zero_shot_table(exams) | side_table(exams) | held_out_table(exams, self._held_out())
        for name in self.filters:
            filtered = exams.scored_by(kept[name])
            table |= zero_shot_table(filtered, f"/{name}") | side_table(filtered, ending=f"/{name}")
        if "text_side" in kept:
            asked = ExamScores(kept["text_side"], kept["label"], present, self.findings, groups, self.seed)
            table |= side_table(asked, TEXT_SIDE)
        update_json(self.output_dir / "metrics.json", {self.split: table})

    def _held_out(self) -> NDArray[np.bool_]:
        """Return which findings are combinations that the training lacks, (E,S,F)."""
        rows = []
        for case in self._case:
            noted = self.held_out.get(case, False)
            named = {part.strip() for part in noted.split(";")} if isinstance(noted, str) else set()
            every = noted if isinstance(noted, bool) else False
            rows.append(
                [[every or self._name(side, finding) in named for finding in self.findings] for side in self.sides]
            )
        return np.array(rows, dtype=bool)

    def _name(self, side: str, finding: str) -> str:
        return f"{side} {finding}" if len(self.sides) > 1 else finding


def _best_by_text(network: Any, side_vector: Tensor, present: Tensor) -> Tensor:
    """Return how well statements about each side and finding fit the side of an exam that they fit best, (E,S,F).

    Prompts that deny are left out: "no mass in the right breast" is not what a network has compared left breasts with,
    so that its score there may be anything.

    Args:
        network: with prompts (S,F,2,Q,T) and "encode_text".
        side_vector: (E,S,D).
        present: (E,S), bool.
    """
    token, word = network.prompt_token[:, :, 0], network.prompt_word[:, :, 0]
    given = (token != 0).any(3)
    with torch.no_grad():
        vectors = network.encode_text(token[given], word[given])["sentence"].float()
    placed = vectors.new_zeros(*given.shape, vectors.shape[1])
    placed[given] = vectors
    mean = F.normalize(placed.sum(2), dim=2, eps=1e-8)  # of all prompts that state it; the length does not matter
    score = torch.einsum("ebd,sfd->ebsf", side_vector.float(), mean)
    best = score.masked_fill(~present[:, :, None, None], -torch.inf).amax(1)
    return torch.where(present.any(1)[:, None, None], best, torch.zeros_like(best))
