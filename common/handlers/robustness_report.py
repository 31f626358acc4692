"""Write how a network's predictions and its uncertainty change as images get worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from common.data.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from common.handlers.explanation_report import evenly_chosen
from common.metrics.calibration import calibration_scores
from common.metrics.classification import classification_scores
from common.metrics.segmented_cases import SegmentationScores
from common.metrics.selective import selective_scores
from common.metrics.uncertainty import image_uncertainties
from common.types import ExplainingNetwork
from common.utils.choices import check_choice
from common.utils.files import update_json

CLEAN = 0


class RobustnessReport:
    """Write a table of every metric and of the mean uncertainty against the strength of each corruption.

    Runs the network on every batch again, corrupted, once for each kind and strength; of each pass it keeps a few
    numbers per case. Strength 0 is the evaluation itself. The table goes to ``curves.json`` as
    ``{split: {"robustness": {kind: {"strength": [0 .. 5], "<metric>": [...]}}}}``. For evaluation in one process.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        network: ExplainingNetwork,
        scores: SegmentationScores | None = None,
        kinds: Sequence[str] = tuple(CORRUPTIONS),
        items: Sequence[Mapping[str, Any]] = (),
        cases: int | None = None,
        seed: int = 0,
    ) -> None:
        """Say what to measure.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            network: the network itself, without wrappers.
            scores: the structures, for networks that segment.
            kinds: names from :data:`common.data.corruptions.CORRUPTIONS`.
            items: the split's items, to choose cases from.
            cases: number of cases, evenly chosen; None takes all.
            seed: of the noise.

        Raises:
            ValueError: for an unknown kind, or if ``cases`` is below 1 or given without items to choose from.
        """
        for kind in kinds:
            check_choice("kinds", kind, CORRUPTIONS)
        self.output_dir = Path(output_dir)
        self.split = split
        self.network = network
        self.scores = scores
        self.kinds = list(kinds)
        self.chosen = None if cases is None else evenly_chosen([str(item["case_id"]) for item in items], cases)
        self.seed = seed
        self._kept: dict[tuple[str, int], dict[str, list[Tensor]]] = {}

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._measure)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._kept = {}

    def _measure(self, engine: Engine) -> None:
        names = [str(case) for case in engine.state.batch["case_id"]]
        rows = [row for row, case in enumerate(names) if self.chosen is None or case in self.chosen]
        if not rows:
            return
        batch, clean = _rows(engine.state.batch, rows), _rows(engine.state.output, rows)
        names = [names[row] for row in rows]
        self._keep(("", CLEAN), clean, batch)
        for kind in self.kinds:
            for strength in STRENGTHS:
                image = corrupt(batch["image"], kind, strength, names, self.seed)
                with torch.no_grad():
                    self._keep((kind, strength), self.network.explain(image), batch)

    def _keep(self, key: tuple[str, int], outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> None:
        """Reduce a pass to numbers per case."""
        kept: dict[str, Tensor] = {}
        if "probability" in outputs:
            kept = {"probability": outputs["probability"].float().cpu(), "label": batch["label"].cpu()}
            kept |= {f"mean_{name}": values for name, values in image_uncertainties(outputs).items()}
        if "pixel_uncertainty" in outputs:
            kept["mean_pixel_uncertainty"] = outputs["pixel_uncertainty"].float().flatten(1).mean(dim=1).cpu()
        if self.scores is not None:
            kept |= self.scores(outputs, batch)
        for name, values in kept.items():
            self._kept.setdefault(key, {}).setdefault(name, []).append(values)

    def _write(self, engine: Engine) -> None:
        if not self._kept:
            return
        measured = {
            key: _metrics({name: torch.cat(values) for name, values in kept.items()})
            for key, kept in self._kept.items()
        }
        clean = measured[("", CLEAN)]
        table: dict[str, Any] = {}
        for kind in self.kinds:
            rows = [clean, *(measured[(kind, strength)] for strength in STRENGTHS)]
            table[kind] = {"strength": [CLEAN, *STRENGTHS]} | {name: [row.get(name) for row in rows] for name in clean}
        update_json(self.output_dir / "curves.json", {self.split: {"robustness": table}})


def _rows(tensors: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Tensor]:
    """Return these cases of everything that has one entry per case."""
    return {name: value[rows] for name, value in tensors.items() if isinstance(value, Tensor)}


def _metrics(kept: dict[str, Tensor]) -> dict[str, float | None]:
    """Return every metric of the cases of one pass; None where it is undefined."""
    metrics: dict[str, float] = {}
    if "probability" in kept:
        probability, label = kept.pop("probability").numpy(), kept.pop("label").numpy()
        correct = probability.argmax(axis=1) == label
        metrics |= classification_scores(probability, label) | calibration_scores(probability, label)
        metrics |= selective_scores(kept["mean_uncertainty"].numpy(), correct)
    metrics |= {name: values.nanmean().item() for name, values in kept.items()}
    return {name: None if math.isnan(value) else value for name, value in metrics.items()}
