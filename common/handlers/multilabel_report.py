"""Write how good a network's answers are where a case may have several diseases."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from common.handlers.classification_report import patient_of
from common.metrics.calibration import BINS, label_calibration_table
from common.metrics.label_sets import HALF, best_thresholds, cooccurrence, label_ranking_table, label_set_table
from common.types import ExplainingNetwork
from common.utils.batch import to_device
from common.utils.files import update_json, write_json

logger = logging.getLogger(__name__)


class MultiLabelReport:
    """Write sets of labels, their ranking and the calibration of each disease to ``metrics.json``.

    What depends on thresholds is written at 0.5 and, with ``calibration``, at the thresholds with the largest F1 of
    each disease on those cases, as ``<metric>_tuned``; they go to ``thresholds.json`` too. Which diseases occur
    together, in truth and by the network, goes to ``cooccurrence.json``. It stands beside
    :class:`common.handlers.ClassificationReport`, which writes AUROC and its companions. For evaluation in one process.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        classes: Sequence[str],
        items: Sequence[Mapping[str, Any]] = (),
        seed: int = 0,
        bins: int = BINS,
        network: ExplainingNetwork | None = None,
        calibration: Iterable[Mapping[str, Any]] | None = None,
    ) -> None:
        """Say what to write.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            classes: names of the C diseases, those of the outputs "probability" (B,C) and the labels (B,C).
            items: the split's items, for their patients.
            seed: of the bootstrap.
            bins: number of bins of the calibration error.
            network: the network itself, without wrappers; needed for ``calibration``.
            calibration: loader of another split, with labels, on which to choose the thresholds.

        Raises:
            ValueError: for a loader without a network to run.
        """
        if network is None and calibration is not None:
            raise ValueError("calibration runs the network: give MultiLabelReport the network too")
        self.output_dir = Path(output_dir)
        self.split = split
        self.classes = list(classes)
        self.patients = patient_of(items)
        self.seed = seed
        self.bins = bins
        self.network = network
        self.calibration = calibration
        self._seen = _Seen()

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._seen = _Seen()

    def _keep(self, engine: Engine) -> None:
        self._seen.add(engine.state.output, engine.state.batch)

    def _write(self, engine: Engine) -> None:
        if not self._seen.case:
            return
        probability, label = self._seen.joined()
        groups = [self.patients.get(case, case) for case in self._seen.case]
        given = (probability, label, self.classes)
        table = label_ranking_table(*given, groups=groups, seed=self.seed)
        table |= label_set_table(*given, groups=groups, seed=self.seed)
        table |= label_calibration_table(*given, groups=groups, seed=self.seed, bins=self.bins)
        chosen, fitted_on = self._thresholds(engine)
        if fitted_on:
            tuned = label_set_table(*given, chosen, groups, self.seed)
            table |= {_tuned(name): entry for name, entry in tuned.items()}
            for name, value in zip(self.classes, chosen.tolist(), strict=True):
                table[f"threshold/{name}"] = {"value": value, "low": None, "high": None, "n": fitted_on}
            noted = {"thresholds": dict(zip(self.classes, chosen.tolist(), strict=True)), "chosen_on": fitted_on}
            write_json(self.output_dir / "thresholds.json", noted)
        update_json(self.output_dir / "metrics.json", {self.split: table})
        together = {
            "classes": self.classes,
            "cases": len(label),
            "thresholds": chosen.tolist(),
            "true": cooccurrence(label),
            "predicted": cooccurrence(probability >= chosen),
        }
        write_json(self.output_dir / "cooccurrence.json", together)

    def _thresholds(self, engine: Engine) -> tuple[NDArray[np.float64], int]:
        """Return the threshold of each disease, and the number of cases they were chosen on; 0.5 without any."""
        fitted = _Seen()
        if self.network is not None:
            for raw in self.calibration or ():
                batch = to_device(raw, engine.state.device)
                with torch.no_grad():
                    fitted.add(self.network.explain(batch["image"]), batch)
        shared = set(fitted.case) & set(self._seen.case)
        if shared:
            raise ValueError(
                f"case '{min(shared)}' is in the {self.split} split and among those the thresholds are chosen on; "
                "choose them on another split, or the result says nothing"
            )
        if not fitted.case:
            return np.full(len(self.classes), HALF), 0
        probability, label = fitted.joined()
        absent = [name for index, name in enumerate(self.classes) if not label[:, index].any()]
        if absent:
            logger.warning("no case to choose thresholds on has %s; the threshold stays 0.5 there", ", ".join(absent))
        return best_thresholds(probability, label), len(fitted.case)


class _Seen:
    """What is kept of the cases seen."""

    def __init__(self) -> None:
        self.case: list[str] = []
        self._probability: list[Tensor] = []
        self._label: list[Tensor] = []

    def add(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> None:
        if batch["label"].ndim != 2:
            raise ValueError(
                f"labels have shape {tuple(batch['label'].shape)}, expected 0/1 per disease (B,C); leave "
                "MultiLabelReport out of this configuration, it is for cases with several diseases"
            )
        self.case += [str(case) for case in batch["case_id"]]
        self._probability.append(outputs["probability"].float().cpu())
        self._label.append(batch["label"].cpu())

    def joined(self) -> tuple[NDArray[Any], NDArray[Any]]:
        return torch.cat(self._probability).numpy(), torch.cat(self._label).numpy()


def _tuned(name: str) -> str:
    """Return a metric's name at chosen thresholds: "f1_tuned", "f1_tuned/<disease>"."""
    metric, slash, disease = name.partition("/")
    return f"{metric}_tuned{slash}{disease}"
