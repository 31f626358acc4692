"""Measure explanations on a split: where they point, whether the decision depends on them, against which baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events
from torch import Tensor, nn

from common.explain.baselines import Attribution
from common.explain.faithfulness import map_dependence
from common.explain.interfaces import MapClassifier
from common.explain.perturbation import PerturbationCurve
from common.explain.relevance import Relevance
from common.handlers.classification_report import patient_of
from common.metrics.bootstrap import mean_interval
from common.metrics.curves import perturbation_points
from common.metrics.explanation import aopc_from_scores, localisation_scores
from common.utils.files import update_json

IN_MODEL = "in_model"


class ExplanationReport:
    """Write localisation and perturbation metrics of the network's own map and of post-hoc baselines.

    For networks whose call returns class logits and whose output has a map, "explanation" (B, 1, H, W), or of whose
    output ``relevance`` makes one. The map is compared with the region of interest on every case that has one, unless
    ``localisation`` is off because another report does that. Perturbation curves, and everything about the baselines,
    are measured on ``cases`` evenly chosen cases, the same for all methods. AOPC in ``metrics.json`` is the mean over
    the fills of the first curve; every single curve is in ``curves.json``.

    Baselines explain ``explained``, a part of the network such as one of its branches, where it is given; the
    probability that falls is always that of the whole network, so that methods are compared by the same decision.

    Of networks that decide from image and map (:class:`common.explain.MapClassifier`: they also have ``explanation``
    and ``classify``) the accuracy under changed maps is measured too, on all cases, as ``map_dependence/<variant>``
    (:mod:`common.explain.faithfulness`). Others have no map that could be changed; they take curves that recompute.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        network: nn.Module,
        curves: Sequence[PerturbationCurve],
        baselines: Sequence[str] = ("random", "centre"),
        items: Sequence[Mapping[str, Any]] = (),
        cases: int | None = None,
        seed: int = 0,
        relevance: Relevance | None = None,
        explained: nn.Module | None = None,
        localisation: bool = True,
    ) -> None:
        """Say what to measure.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            network: the network itself, without wrappers.
            curves: perturbation protocols; at least one.
            baselines: names from :data:`common.explain.baselines.BASELINES`.
            items: the split's items.
            cases: number of cases for curves and baselines; None takes all.
            seed: of random order and bootstrap.
            relevance: makes the network's own map; None takes its output "explanation".
            explained: what the baselines explain, from images to logits; None for the network.
            localisation: whether to compare maps with the region of interest.

        Raises:
            ValueError: if there is no curve, or ``cases`` is below 1 or given without items to choose from.
        """
        if not curves:
            raise ValueError("curves is empty: give at least one PerturbationCurve, or leave this handler out")
        self.output_dir = Path(output_dir)
        self.split = split
        self.network = network
        self.curves = list(curves)
        self.attributions = {name: Attribution(name, seed=seed) for name in baselines}
        self.patients = patient_of(items)
        self.chosen = None if cases is None else evenly_chosen([str(item["case_id"]) for item in items], cases)
        self.seed = seed
        self.relevance = relevance
        self.explained = network if explained is None else explained
        self.localisation = localisation
        self._values: dict[str, dict[str, float]] = {}
        self._scores: dict[str, dict[str, list[Tensor]]] = {}
        self._measured: list[str] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._measure)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._values, self._scores, self._measured = {}, {}, []

    def _measure(self, engine: Engine) -> None:
        batch, explanation = engine.state.batch, self._map(engine.state.output, engine.state.batch)
        cases = [str(case) for case in batch["case_id"]]
        self._localise("", cases, batch, explanation)
        self._change_maps(cases, batch)
        rows = [row for row, case in enumerate(cases) if self.chosen is None or case in self.chosen]
        if not rows:
            return
        few = {name: value[rows] for name, value in batch.items() if isinstance(value, Tensor)}
        names = [cases[row] for row in rows]
        self._measured += names
        self._perturb(IN_MODEL, few, explanation[rows])
        for name, attribution in self.attributions.items():
            relevance = attribution(self.explained, few["image"])
            self._localise(f"/{name}", names, few, relevance)
            self._perturb(name, few, relevance)

    def _map(self, output: Mapping[str, Tensor], batch: Mapping[str, Any]) -> Tensor:
        """Return the network's own map in the size of its images."""
        if self.relevance is None:
            return _map_of(output)
        relevance, size = self.relevance(output, batch), batch["image"].shape[-2:]
        return relevance if relevance.shape[-2:] == size else F.interpolate(relevance, size=size, mode="bilinear")

    def _localise(self, suffix: str, cases: Sequence[str], batch: Mapping[str, Any], relevance: Tensor) -> None:
        """Note the localisation scores of the cases whose region of interest is known."""
        if "mask" not in batch or not self.localisation:
            return
        for name, values in localisation_scores(relevance, batch["mask"]).items():
            if suffix and name in ("roi_area", "pointing_chance"):
                continue  # these describe the region alone
            noted = self._values.setdefault(name + suffix, {})
            for case, value, given in zip(cases, values.tolist(), batch["mask_given"].tolist(), strict=True):
                if given:
                    noted[case] = value

    def _change_maps(self, cases: Sequence[str], batch: Mapping[str, Any]) -> None:
        """Note whether each case is classified correctly with its map changed, where the network takes a map."""
        if not isinstance(self.network, MapClassifier):
            return
        for name, values in map_dependence(self.network, batch["image"], batch["label"], seed=self.seed).items():
            self._values.setdefault(f"map_dependence/{name}", {}).update(zip(cases, values.tolist(), strict=True))

    def _perturb(self, name: str, batch: Mapping[str, Tensor], relevance: Tensor) -> None:
        for curve in self.curves:
            scores = curve(self.network, batch["image"], relevance, batch.get("label")).cpu()
            for index, key in enumerate(curve.names):
                self._scores.setdefault(name, {}).setdefault(key, []).append(scores[:, index])

    def _write(self, engine: Engine) -> None:
        metrics = {name: self._interval(values) for name, values in self._values.items() if values}
        groups = [self.patients.get(case, case) for case in self._measured]
        perturbation: dict[str, Any] = {}
        for method, curves in self._scores.items():
            joined = {key: torch.cat(scores) for key, scores in curves.items()}
            perturbation[method] = {key: perturbation_points(s, groups, seed=self.seed) for key, s in joined.items()}
            first = torch.stack([aopc_from_scores(joined[key]) for key in self.curves[0].names]).mean(0)
            metrics[_aopc_name(method)] = mean_interval(first.numpy(), np.array(groups), seed=self.seed).as_record()
        update_json(self.output_dir / "metrics.json", {self.split: metrics})
        update_json(self.output_dir / "curves.json", {self.split: {"perturbation": perturbation}})

    def _interval(self, values: Mapping[str, float]) -> dict[str, Any]:
        groups = np.array([self.patients.get(case, case) for case in values])
        return mean_interval(np.array(list(values.values())), groups, seed=self.seed).as_record()


def _map_of(output: Mapping[str, Tensor]) -> Tensor:
    if "explanation" not in output:
        raise ValueError(
            f"the network's outputs are {', '.join(output)}, expected 'explanation' among them: without a map there is "
            "nothing to measure here; give ExplanationReport a relevance, or leave it out of this configuration"
        )
    return output["explanation"]


def _aopc_name(method: str) -> str:
    """Return the metric's name: aopc, aopc_random, aopc/<baseline>."""
    return {IN_MODEL: "aopc", "random": "aopc_random"}.get(method, f"aopc/{method}")


def evenly_chosen(names: Sequence[str], count: int) -> set[str]:
    """Choose names spread evenly over a list.

    Args:
        names: all names.
        count: how many to choose; all of them if there are no more.

    Raises:
        ValueError: if ``count`` is below 1 or there is no name.
    """
    if count < 1:
        raise ValueError(f"cases is {count}, expected 1 or more, or null for all")
    if not names:
        raise ValueError(f"cases is {count}, but there are no items to choose from; give the split's items")
    if count >= len(names):
        return set(names)
    return {names[int(position)] for position in np.linspace(0, len(names) - 1, count).round()}
