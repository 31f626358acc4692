"""Write whether exams find their reports and reports their exams."""

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
from common.metrics.retrieval import LEVELS, RANKS, report_similarity, retrieval_table, same_sets
from common.utils.choices import check_choice
from common.utils.files import update_json, write_json

TOP = 5
"""Reports shown for an example."""


class RetrievalReport:
    """Write recall of reports by exams, and of exams by reports, to ``metrics.json``, examples to ``retrieval.json``.

    An exam chooses among the reports of all exams seen. An exam without a report, or without an image, takes no part.
    Reports of which each sentence says the same as one of the other, by "text_key", cannot be told apart: what is right
    if any of them counts has names of its own. For evaluation in one process.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        network: Any,
        items: Sequence[Mapping[str, Any]] = (),
        level: str = "side",
        ranks: Sequence[int] = RANKS,
        examples: int = 8,
        seed: int = 0,
    ) -> None:
        """Say what to write.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            network: the network itself, without wrappers; its "encode_text" is asked.
            items: the split's items, for their patients and the words of the reports.
            level: "side" compares each sentence with the side it speaks of and takes the mean; "exam" the mean of the
                sentences with the whole exam. As it was trained.
            ranks: how many answers are looked at.
            examples: exams in retrieval.json, evenly spread.
            seed: of the bootstrap.

        Raises:
            ValueError: if an option is out of range or unknown.
        """
        check_choice("level", level, LEVELS)
        if examples < 0 or any(rank < 1 for rank in ranks):
            raise ValueError(f"examples is {examples} and ranks {list(ranks)}, expected 0 or more, and ranks from 1 on")
        self.output_dir = Path(output_dir)
        self.split = split
        self.network = network
        self.patients = patient_of(items)
        self.texts = {str(item["case_id"]): _first(item.get("report")) for item in items}
        self.level = level
        self.ranks = list(ranks)
        self.examples = examples
        self.seed = seed
        self._case: list[str] = []
        self._keys: list[frozenset[int]] = []
        self._kept: dict[str, list[Tensor]] = {}

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._case, self._keys, self._kept = [], [], {}

    def _keep(self, engine: Engine) -> None:
        batch, output = engine.state.batch, engine.state.output
        missing = [key for key in ("token", "word", "sentence_side", "text_key") if key not in batch]
        if missing:
            raise ValueError(
                f"the batch has no '{missing[0]}': put TokenizeReportd and ChooseReportd into the preprocessing, or "
                "leave RetrievalReport out"
            )
        mask = (batch["token"] != 0).any(2)
        rows = (mask.any(1) & (output["exam_vector"] != 0).any(1)).nonzero()[:, 0]
        if not len(rows):
            return
        self._case += [str(batch["case_id"][row]) for row in rows.tolist()]
        mask, token, word = mask[rows], batch["token"][rows], batch["word"][rows]
        keys = [row[row >= 0].tolist() for row in batch["text_key"][rows]]
        self._keys += [frozenset(row) for row in keys]
        with torch.no_grad():
            vectors = self.network.encode_text(token[mask], word[mask])["sentence"].float()
        sentence = vectors.new_zeros(*mask.shape, vectors.shape[1])
        sentence[mask] = vectors
        values = {"image": output["side_vector"][rows], "sentence": sentence, "side": batch["sentence_side"][rows]}
        if self.level == "exam":
            values = {"image": output["exam_vector"][rows, None]}
            values["sentence"] = F.normalize(sentence.sum(1), dim=1, eps=1e-8)[:, None]
            values["side"], mask = torch.full_like(rows, -1)[:, None], torch.ones_like(rows, dtype=torch.bool)[:, None]
        for name, value in {**values, "mask": mask}.items():
            self._kept.setdefault(name, []).append(value.detach().cpu())

    def _write(self, engine: Engine) -> None:
        if not self._case:
            return
        kept = {name: torch.cat(values) for name, values in self._kept.items()}
        similarity = report_similarity(kept["image"].float(), kept["sentence"], kept["side"], kept["mask"]).numpy()
        groups = [self.patients.get(case, case) for case in self._case]
        table = retrieval_table(similarity, same_sets(self._keys), groups, self.ranks, self.seed)
        update_json(self.output_dir / "metrics.json", {self.split: table})
        shown = np.unique(np.linspace(0, len(similarity) - 1, min(self.examples, len(similarity))).astype(int))
        found = [self._example(index, similarity[index]) for index in shown.tolist()]
        write_json(self.output_dir / "retrieval.json", {"split": self.split, "examples": found})

    def _example(self, index: int, similarity: NDArray[np.float32]) -> dict[str, Any]:
        """Return an exam's own report, its rank (the last one among equals), and the reports it likes best."""
        best = np.argsort(-similarity, kind="stable")[:TOP].tolist()
        top = [
            {"case_id": case, "report": self.texts.get(case, ""), "score": round(float(similarity[place]), 4)}
            for place, case in ((place, self._case[place]) for place in best)
        ]
        case = self._case[index]
        rank = int((similarity >= similarity[index]).sum())
        return {"case_id": case, "report": self.texts.get(case, ""), "rank": rank, "top": top}


def _first(report: Any) -> str:
    """Return a report, the first if there are several, as evaluation reads it."""
    first = report[0] if isinstance(report, list | tuple) and report else report
    return str(first) if first else ""
