"""Write whether the probabilities and the uncertainty of a split's images can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from common.handlers.classification_report import patient_of
from common.metrics.bootstrap import mean_interval
from common.metrics.calibration import (
    BINS,
    calibration_table,
    fit_temperature,
    reliability_curve,
    scale_temperature,
)
from common.metrics.ood import ood_table
from common.metrics.selective import risk_coverage_curve, selective_table
from common.metrics.uncertainty import image_uncertainties
from common.types import ExplainingNetwork
from common.utils.batch import to_device
from common.utils.files import update_json

Table = dict[str, dict[str, float | int | None]]


class UncertaintyReport:
    """Write calibration, proper scores, risk against coverage and error detection to ``metrics.json``.

    The reliability and the risk-coverage curve go to ``curves.json``. The network's own uncertainty has the plain
    names; ``error_auroc/<measure>`` are others of the same network (:func:`common.metrics.uncertainty
    .image_uncertainties`), without which nobody can tell whether it is worth having.

    With ``calibration``, a temperature is fitted on those cases and the calibration of the scaled probabilities is
    written beside the raw one, as ``<metric>_scaled``. With ``foreign``, images of another kind, it is measured how
    well the uncertainty tells them from the split's. Both run the network once more. For evaluation in one process.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        items: Sequence[Mapping[str, Any]] = (),
        seed: int = 0,
        bins: int = BINS,
        network: ExplainingNetwork | None = None,
        calibration: Iterable[Mapping[str, Any]] | None = None,
        foreign: Iterable[Mapping[str, Any]] | None = None,
    ) -> None:
        """Say what to write.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            items: the split's items, for their patients.
            seed: of the bootstrap.
            bins: number of bins of the confidence.
            network: the network itself, without wrappers; needed for the next two.
            calibration: loader of another split, with labels, on which to fit the temperature; None fits none.
            foreign: loader of images the network was not made for; None leaves them out.

        Raises:
            ValueError: if a loader is given without a network to run.
        """
        if network is None and (calibration is not None or foreign is not None):
            raise ValueError("calibration and foreign run the network: give UncertaintyReport the network too")
        self.output_dir = Path(output_dir)
        self.split = split
        self.patients = patient_of(items)
        self.seed = seed
        self.bins = bins
        self.network = network
        self.calibration = calibration
        self.foreign = foreign
        self._seen = _Seen()

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._seen = _Seen()

    def _keep(self, engine: Engine) -> None:
        if "probability" in engine.state.output:
            self._seen.add(engine.state.output, engine.state.batch)

    def _write(self, engine: Engine) -> None:
        seen = self._seen
        if not seen.case:
            return
        probability, label, measures = seen.probability(), seen.label(), seen.measures()
        groups = [self.patients.get(case, case) for case in seen.case]
        correct = probability.argmax(axis=1) == label
        table = calibration_table(probability, label, groups, self.seed, bins=self.bins)
        curves = {
            "reliability": reliability_curve(probability, label, self.bins),
            "risk_coverage": risk_coverage_curve(measures["uncertainty"], correct),
        }
        for measure, values in measures.items():
            ranking = selective_table(values, correct, groups, self.seed)
            table |= ranking if measure == "uncertainty" else {f"error_auroc/{measure}": ranking["error_auroc"]}
            table[f"mean_{measure}"] = mean_interval(values, np.array(groups), seed=self.seed).as_record()
        if self.calibration is not None:
            scaled, curves["reliability_scaled"] = self._scale(engine, probability, label, groups)
            table |= scaled
        if self.foreign is not None:
            table |= self._detect(engine, measures, groups)
        update_json(self.output_dir / "metrics.json", {self.split: table})
        update_json(self.output_dir / "curves.json", {self.split: curves})

    def _scale(
        self, engine: Engine, probability: np.ndarray, label: np.ndarray, groups: Sequence[str]
    ) -> tuple[Table, dict[str, list[float]]]:
        """Fit the temperature on the other cases; return it, and the calibration and reliability it leads to."""
        fitted = _Seen()
        for batch, outputs in self._explained(engine, self.calibration):
            fitted.add(outputs, batch)
        shared = set(fitted.case) & set(self._seen.case)
        if shared:
            raise ValueError(
                f"{len(shared)} cases are in the {self.split} split and among those the temperature is fitted on, such "
                f"as '{min(shared)}'; fit it on another split, or the result says nothing"
            )
        temperature = fit_temperature(fitted.probability(), fitted.label())
        scaled = scale_temperature(probability, temperature)
        table = calibration_table(scaled, label, groups, self.seed, bins=self.bins)
        found: Table = {"temperature": {"value": temperature, "low": None, "high": None, "n": len(fitted.case)}}
        return found | {f"{name}_scaled": entry for name, entry in table.items()}, reliability_curve(
            scaled, label, self.bins
        )

    def _detect(self, engine: Engine, measures: Mapping[str, np.ndarray], groups: Sequence[str]) -> Table:
        """Return how well each measure tells the foreign images from the split's."""
        foreign = _Seen()
        for batch, outputs in self._explained(engine, self.foreign):
            foreign.add(outputs, batch)
        units = [*groups, *(f"foreign/{case}" for case in foreign.case)]
        target = np.arange(len(units)) >= len(groups)
        table: Table = {}
        for measure, values in foreign.measures().items():
            joined = np.concatenate([measures[measure], values])
            suffix = "" if measure == "uncertainty" else f"/{measure}"
            table |= {f"{name}{suffix}": entry for name, entry in ood_table(joined, target, units, self.seed).items()}
        return table

    def _explained(
        self, engine: Engine, loader: Iterable[Mapping[str, Any]] | None
    ) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
        network = cast(ExplainingNetwork, self.network)  # given, the constructor has seen to it
        for raw in loader or ():
            batch = to_device(raw, engine.state.device)
            with torch.no_grad():
                yield batch, network.explain(batch["image"])


class _Seen:
    """What is kept of the cases seen: a few numbers each."""

    def __init__(self) -> None:
        self.case: list[str] = []
        self._kept: dict[str, list[Tensor]] = {}

    def add(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any]) -> None:
        self.case += [str(case) for case in batch["case_id"]]
        kept = image_uncertainties(outputs) | {"probability": outputs["probability"].float()}
        for name, values in (kept | ({"label": batch["label"]} if "label" in batch else {})).items():
            self._kept.setdefault(name, []).append(values.cpu())

    def probability(self) -> np.ndarray:
        return torch.cat(self._kept["probability"]).numpy()

    def label(self) -> np.ndarray:
        return torch.cat(self._kept["label"]).numpy()

    def measures(self) -> dict[str, np.ndarray]:
        return {
            name: torch.cat(values).numpy()
            for name, values in self._kept.items()
            if name not in ("probability", "label")
        }
