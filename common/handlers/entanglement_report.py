"""Write whether the prototypes of a disease look at that disease or at another one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from common.handlers.classification_report import patient_of
from common.layers import PrototypeLayer
from common.metrics.box_localisation import disease_means
from common.metrics.classification import targets_of
from common.metrics.entanglement import prototype_places
from common.metrics.prototype_quality import nearest_share
from common.utils.files import update_json, write_json

FloatArray = NDArray[np.float64]
NEEDED = ("similarity", "similarity_map", "location", "contribution")
PLACES = ("inside", "area", "other", "other_area")


class EntanglementReport:
    """Write entanglement to ``metrics.json``, and who looks where and adds how much to ``prototype_table.json``.

    Reads the outputs "similarity", "location" and "contribution" (B,P) and "similarity_map" (B,P,h,w), and the batch's
    "finding_mask" (B,E,H,W) of :class:`common.data.FindingBoxesd`; without boxes there is no entanglement, only the
    table. :mod:`common.metrics.entanglement` says what is computed. For evaluation in one process.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        classes: Sequence[str],
        prototypes: PrototypeLayer,
        background: str | None = "No Finding",
        items: Sequence[Mapping[str, Any]] = (),
        foremost: int = 3,
        nearest: int = 10,
        seed: int = 0,
    ) -> None:
        """Say what to measure.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            classes: names of the E diseases.
            prototypes: the network's prototypes.
            background: name of the class after the diseases; None for a network that has none.
            items: the split's items, for their patients.
            foremost: prototypes of each class whose places count, those that contribute most to the case.
            nearest: most similar cases of each prototype that purity looks at.
            seed: of the bootstrap.

        Raises:
            ValueError: if the prototypes have another number of classes, or a number is below 1.
        """
        names = [*classes, *([] if background is None else [background])]
        found = int(prototypes.class_map.max()) + 1
        if found != len(names):
            raise ValueError(f"the prototypes have {found} classes, expected {len(names)}: {', '.join(names)}")
        if foremost < 1 or nearest < 1:
            raise ValueError(f"foremost is {foremost} and nearest {nearest}, expected 1 or more of each")
        self.output_dir = Path(output_dir)
        self.split = split
        self.diseases = list(classes)
        self.names = names
        self.prototypes = prototypes
        self.patients = patient_of(items)
        self.foremost, self.nearest = foremost, nearest
        self.seed = seed
        self._kept: dict[str, list[Tensor]] = {}
        self._case: list[str] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._measure)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._kept, self._case = {}, []

    def _measure(self, engine: Engine) -> None:
        batch, output = engine.state.batch, engine.state.output
        missing = [name for name in NEEDED if name not in output]
        if missing:
            raise ValueError(
                f"the network's outputs are {', '.join(output)}, expected '{missing[0]}' among them; leave "
                "EntanglementReport out of this configuration, it is for networks with prototypes"
            )
        self._case += [str(case) for case in batch["case_id"]]
        kept = {name: output[name].double() for name in ("similarity", "contribution")} | {"label": batch["label"]}
        kept |= self._places(batch, output)
        for name, values in kept.items():
            self._kept.setdefault(name, []).append(values.cpu())

    def _places(self, batch: Mapping[str, Any], output: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return where the prototypes are, NaN for cases without boxes."""
        cases, diseases, classes = len(batch["case_id"]), len(self.diseases), len(self.names)
        shapes = {"inside": (diseases, classes), "area": (diseases, classes), "other": (classes,)}
        shapes["other_area"] = shapes["other"]
        places = {name: torch.full((cases, *shape), torch.nan, dtype=torch.float64) for name, shape in shapes.items()}
        if "finding_mask" not in batch:
            return places
        mask = batch["finding_mask"]
        if mask.shape[1] != diseases:
            raise ValueError(
                f"'finding_mask' has {mask.shape[1]} classes, expected {diseases}: give FindingBoxesd the same classes"
            )
        rows = mask.flatten(1).any(dim=1).nonzero()[:, 0]
        if len(rows):
            size = output["similarity_map"].shape[-2], output["similarity_map"].shape[-1]
            location, contribution = output["location"][rows], output["contribution"][rows]
            class_map = self.prototypes.class_map.to(location.device)
            found = prototype_places(location, contribution, class_map, mask[rows], size, self.foremost)
            for name in PLACES:
                places[name][rows.cpu()] = getattr(found, name)
        return places

    def _write(self, engine: Engine) -> None:
        if not self._case:
            return
        joined = {name: torch.cat(values).numpy() for name, values in self._kept.items()}
        label = targets_of(joined["label"], len(self.diseases)) > 0
        metrics = self._metrics(joined, label)
        if metrics:
            update_json(self.output_dir / "metrics.json", {self.split: metrics})
        write_json(self.output_dir / "prototype_table.json", self._table(joined, label))

    def _metrics(self, joined: Mapping[str, NDArray[Any]], label: NDArray[np.bool_]) -> dict[str, Any]:
        """Return the shares of the diseases' prototypes that are elsewhere or at home, and what chance would have."""
        diseases = len(self.diseases)
        own = np.arange(diseases)
        boxed = ~np.isnan(joined["inside"][:, own, own])
        groups = np.array([self.patients.get(case, case) for case in self._case])
        table: dict[str, Any] = {}
        for end, asked in (("", boxed), ("_absent", ~label)):
            cases, disease = np.nonzero(asked & ~np.isnan(joined["other"][:, :diseases]))
            for name, values in ((f"entanglement{end}", "other"), (f"entanglement{end}_chance", "other_area")):
                chosen = joined[values][cases, disease]
                table |= disease_means(name, chosen, disease, self.diseases, groups[cases], self.seed)
        cases, disease = np.nonzero(boxed)
        for name, values in (("prototype_in_box", "inside"), ("prototype_in_box_chance", "area")):
            chosen = joined[values][cases, disease, disease]
            table |= disease_means(name, chosen, disease, self.diseases, groups[cases], self.seed)
        return table

    def _table(self, joined: Mapping[str, NDArray[Any]], label: NDArray[np.bool_]) -> dict[str, Any]:
        class_map = self.prototypes.class_map.cpu().numpy()
        diseases, classes = len(self.diseases), len(self.names)
        total = joined["contribution"] @ np.eye(classes)[class_map]
        home = ~np.isnan(joined["inside"][:, np.arange(diseases), np.arange(diseases)])
        has_no_place = np.ones((len(label), classes - diseases), dtype=bool)
        together = np.concatenate([home, has_no_place], axis=1)[:, None]
        absent = np.concatenate([~label, has_no_place], axis=1)[:, None]
        return {
            "classes": self.names,
            "diseases": self.diseases,
            "cases": label.sum(axis=0).tolist(),
            "mean_contribution": [_rounded(total[has].mean(axis=0)) if has.any() else None for has in label.T],
            "purity": self._purity(joined["similarity"], label, class_map),
            "entanglement": _mean_over_cases(joined["inside"], together),
            "entanglement_chance": _mean_over_cases(joined["area"], together),
            "entanglement_absent": _mean_over_cases(joined["inside"], absent),
        }

    def _purity(self, similarity: FloatArray, label: NDArray[np.bool_], class_map: NDArray[Any]) -> list[float | None]:
        """Return for each class the share of the nearest cases that have it; the background's have no disease."""
        member = np.concatenate([label, ~label.any(axis=1, keepdims=True)], axis=1).astype(np.float64)
        once = np.ones((1, len(similarity)))
        shares = [
            nearest_share(similarity[:, own], np.repeat(member[:, [index]], own.sum(), axis=1), once, self.nearest)
            for index, own in enumerate(class_map == index for index in range(len(self.names)))
        ]
        return _rounded(np.concatenate(shares))


def _mean_over_cases(values: FloatArray, asked: NDArray[np.bool_]) -> list[list[float | None]]:
    """Return the mean (E,C) of those values (N,E,C) that are numbers and asked for, None where there is none."""
    counts = asked & ~np.isnan(values)
    total, number = np.where(counts, values, 0.0).sum(axis=0), counts.sum(axis=0)
    means = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return [_rounded(row) for row in means]


def _rounded(values: FloatArray) -> list[float | None]:
    return [None if math.isnan(value) else round(float(value), 6) for value in values]
