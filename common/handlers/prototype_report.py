"""Write whether a network's prototypes are worth looking at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from common.data.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from common.handlers.classification_report import patient_of
from common.handlers.explanation_report import evenly_chosen
from common.layers import PrototypeLayer
from common.metrics.bootstrap import bootstrap_weighted, mean_interval
from common.metrics.classification import targets_of
from common.metrics.prototype_quality import (
    class_specificity,
    coverage,
    nearest_share,
    order_stability,
    place_stability,
    spread,
    touches,
    uniqueness,
)
from common.types import ExplainingNetwork
from common.utils.choices import check_choice
from common.utils.files import update_json

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]
NEEDED = ("similarity", "similarity_map", "location", "contribution")


class PrototypeReport:
    """Write purity, class specificity, relevance, coverage, uniqueness, spread and stability to ``metrics.json``.

    Reads the outputs "similarity", "location" and "contribution" (B,P) and "similarity_map" (B,P,h,w).
    :mod:`common.metrics.prototype_quality` says what is computed. Relevance needs regions of interest; stability runs
    the network again on slightly corrupted images of ``cases`` evenly chosen cases. For evaluation in one process.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        classes: Sequence[str],
        network: ExplainingNetwork,
        prototypes: PrototypeLayer,
        items: Sequence[Mapping[str, Any]] = (),
        nearest: int = 10,
        foremost: int = 3,
        corruptions: Sequence[str] = ("gaussian_noise", "jpeg"),
        strength: int = 1,
        cases: int | None = None,
        seed: int = 0,
    ) -> None:
        """Say what to measure.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            classes: names of the C classes.
            network: the network itself, without wrappers.
            prototypes: its prototypes.
            items: the split's items, for their patients and to choose cases from.
            nearest: most similar cases of each prototype that are looked at.
            foremost: prototypes of the predicted class, those that contribute most, whose places are to be stable.
            corruptions: names from :data:`common.data.corruptions.CORRUPTIONS`; none leaves stability out.
            strength: of the corruptions, 1 to 5.
            cases: number of cases for stability; None takes all.
            seed: of noise and bootstrap.

        Raises:
            ValueError: for an unknown corruption or strength, or a number that is out of range.
        """
        for kind in corruptions:
            check_choice("corruptions", kind, CORRUPTIONS)
        if strength not in STRENGTHS:
            raise ValueError(f"strength is {strength}, expected 1 to 5")
        if nearest < 1 or foremost < 1:
            raise ValueError(f"nearest is {nearest} and foremost {foremost}, expected 1 or more of each")
        self.output_dir = Path(output_dir)
        self.split = split
        self.classes = list(classes)
        self.network = network
        self.prototypes = prototypes
        self.patients = patient_of(items)
        self.nearest, self.foremost = nearest, foremost
        self.corruptions, self.strength = list(corruptions), strength
        self.chosen = None if cases is None else evenly_chosen([str(item["case_id"]) for item in items], cases)
        self.seed = seed
        self._kept: dict[str, list[Tensor]] = {}
        self._case: list[str] = []
        self._stability: dict[str, dict[str, float]] = {}

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._measure)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._kept, self._case, self._stability = {}, [], {}

    def _measure(self, engine: Engine) -> None:
        batch, output = engine.state.batch, engine.state.output
        missing = [name for name in NEEDED if name not in output]
        if missing:
            raise ValueError(
                f"the network's outputs are {', '.join(output)}, expected '{missing[0]}' among them; leave "
                "PrototypeReport out of this configuration, it is for networks with prototypes"
            )
        names = [str(case) for case in batch["case_id"]]
        self._case += names
        size, places = output["similarity_map"].shape[-2:], output["location"].long()
        kept = {"similarity": output["similarity"].double(), "label": batch["label"]}
        if "mask" in batch:
            cells = touches(batch["mask"], size).masked_fill(~batch["mask_given"][:, None], torch.nan)
            kept |= {"touched": cells.gather(1, places), "chance": cells.mean(dim=1, keepdim=True)}
        for name, values in kept.items():
            self._kept.setdefault(name, []).append(values.cpu())
        rows = [row for row, case in enumerate(names) if self.chosen is None or case in self.chosen]
        if rows:
            few = {name: value[rows] for name, value in output.items() if isinstance(value, Tensor)}
            self._disturb([names[row] for row in rows], batch["image"][rows], few)

    def _disturb(self, names: Sequence[str], image: Tensor, output: Mapping[str, Tensor]) -> None:
        """Note how far places and order of the prototypes hold when the images get a little worse."""
        predicted = output["probability"].argmax(dim=1, keepdim=True)
        class_map = self.prototypes.class_map.to(predicted.device)
        own = output["contribution"].masked_fill(class_map[None] != predicted, -torch.inf)
        count = min(self.foremost, int(class_map.unique(return_counts=True)[1].min()))
        foremost, columns = own.topk(count, dim=1).indices, output["similarity_map"].shape[-1]
        for kind in self.corruptions:
            with torch.no_grad():
                changed = self.network.explain(corrupt(image, kind, self.strength, names, self.seed))
            held = {
                "place": place_stability(output["location"].long(), changed["location"].long(), foremost, columns),
                "order": order_stability(output["contribution"], changed["contribution"]),
            }
            for what, values in held.items():
                noted = self._stability.setdefault(f"prototype_{what}_stability/{kind}", {})
                noted.update(zip(names, values.tolist(), strict=True))

    def _write(self, engine: Engine) -> None:
        if not self._case:
            return
        joined = {name: torch.cat(values).numpy() for name, values in self._kept.items()}
        class_map, vectors = self.prototypes.class_map.cpu().numpy(), self.prototypes.vectors.detach().cpu().numpy()
        groups = np.array([self.patients.get(case, case) for case in self._case])
        table = self._of_classes(joined, class_map, groups)
        for name, values in self._stability.items():
            units = np.array([self.patients.get(case, case) for case in values])
            table[name] = mean_interval(list(values.values()), units, seed=self.seed).as_record()
        table["prototype_uniqueness"] = _number(uniqueness(vectors, class_map), len(vectors))
        for name, value in spread(vectors, class_map, self.classes).items():
            table[f"prototype_spread/{name}"] = _number(value, len(vectors))
        update_json(self.output_dir / "metrics.json", {self.split: table})

    def _of_classes(
        self, joined: Mapping[str, NDArray[Any]], class_map: NDArray[np.int64], groups: NDArray[Any]
    ) -> dict[str, dict[str, float | int | None]]:
        """Return everything that asks whether cases have a prototype's class, or where its best places are."""
        own = class_map < len(self.classes)
        similarity = joined["similarity"][:, own]
        member = targets_of(joined["label"], len(self.classes))[:, class_map[own]]
        share = partial(nearest_share, nearest=self.nearest)
        every = np.ones(len(similarity), dtype=bool)
        found: list[tuple[str, Statistic, FloatArray, FloatArray, NDArray[np.bool_]]] = [
            ("prototype_purity", share, similarity, member, every),
            ("prototype_purity_chance", share, np.zeros_like(similarity), member, every),
            ("prototype_class_specificity", class_specificity, similarity, member, every),
        ]
        if "chance" in joined:
            outlined = ~np.isnan(joined["chance"][:, 0]) & (member > 0).any(axis=1)
            own_case = np.where(member > 0, 1.0, np.nan)
            chance = np.broadcast_to(joined["chance"], member.shape) * own_case
            touched = joined["touched"][:, own] * own_case
            found.append(("prototype_relevance", share, similarity, touched, outlined))
            found.append(("prototype_relevance_chance", share, np.zeros_like(similarity), chance, outlined))
        table = {}
        for name, statistic, ranked, values, rows in found:
            if rows.any():
                interval = bootstrap_weighted(
                    statistic, ranked[rows], values[rows], groups=groups[rows], seed=self.seed
                )
                table[name] = interval.as_record()
        covered = coverage(similarity, member, class_map[own], self.nearest)
        return table | {"prototype_coverage": mean_interval(covered, groups, seed=self.seed).as_record()}


def _number(value: float, count: int) -> dict[str, float | int | None]:
    """Return the record of a number that does not depend on the cases."""
    return {"value": value, "low": None, "high": None, "n": count}
