"""Replace prototypes by the nearest places of training images: from then on "looks like that" is literally true.

Sources: Chen et al., "This Looks Like That: Deep Learning for Interpretable Image Recognition", NeurIPS 2019; Wang et
al., "An Interpretable and Accurate Deep-Learning Diagnosis Framework Modeled With Fully and Semi-Supervised Reciprocal
Learning", IEEE TMI 43(1), 2024, whose public code finds the places but never writes them back.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from common.data.datalist import datalist_hash
from common.data.placement import Placement
from common.explain.activation import place_of
from common.explain.projection import NearestSources, assign_greedy, assign_optimal, direct_distance, membership
from common.explain.prototype_files import PrototypeBook, PrototypeSource, save_prototypes
from common.explain.regions import box_in_source, point_in_source
from common.handlers.feature_maps import FeatureMaps, evaluating
from common.handlers.projection_effect import ProjectionEffect, fit_to_labels
from common.handlers.projection_sources import (
    SourceMaps,
    Sources,
    chosen_sources,
    in_order,
    over_processes,
    source_keys,
)
from common.utils.choices import check_choice
from common.utils.distributed import is_main_process

logger = logging.getLogger(__name__)

RULES = {"greedy": assign_greedy, "optimal": assign_optimal}
UNIQUE = ("image", "patient", "none")
SCOPES = ("all", "class")


class PrototypeProjection:
    """At the end of a stage, make every prototype a copy of a place of a training image of its class.

    1. The training images pass once, as they are predicted; each process looks at its share.
    2. Every prototype gets a source of its own: a case of its class, none twice.
    3. The vectors are copied, and ``projected`` of the prototype layer becomes true.
    4. The last layer is fitted anew, by the labels, to the similarities with the new prototypes.
    5. ``prototypes.json`` and ``prototypes.npz`` say where each prototype comes from and what all this did to the
       student's predictions on the validation data: ``mean_logit_change``, the mean absolute difference of logits, and
       ``auroc_before``, ``auroc_after`` and ``auroc_after_refit``.

    A copied vector equals the feature to the last bit. Computed again, in a batch of another size or on another
    device, convolutions round differently, by some 1e-7: well below a squared distance of 1e-6.
    """

    def __init__(
        self,
        dataloader: DataLoader,
        items: Sequence[Mapping[str, Any]],
        classes: Sequence[str],
        folder: str | Path,
        validation: DataLoader | None = None,
        rule: str = "greedy",
        unique: str = "patient",
        scope: str = "all",
        background: int | None = None,
        branch: str = "student",
        feature: str = "feature",
        refit_passes: int = 20,
        refit_rate: float = 1e-3,
        trained_on: Sequence[Mapping[str, Any]] | None = None,
        datalist: str | Path | None = None,
        root: str | Path | None = None,
        method: str | None = None,
        memory_gb: float = 2.0,
    ) -> None:
        """Say what to project, on what, and by which rule.

        Args:
            dataloader: the training cases without augmentation; batches have ``image``, ``label``, ``case_id`` and,
                where known, ``label_given``, ``source_size``, ``crop`` and ``flipped``.
            items: these cases as the datalist has them, for patients and image paths; their order decides between
                equals.
            classes: names of the C classes.
            folder: where the files are written.
            validation: what the effect is measured on; None does not measure it.
            rule: ``"greedy"``: prototypes choose one after the other (published); ``"optimal"``: the sum of the
                distances is smallest.
            unique: what becomes a prototype only once: an ``"image"``, a ``"patient"`` (cases without one, or a
                ``group``, stand alone), or nothing (``"none"``).
            scope: whether this holds among ``"all"`` prototypes or among those of a ``"class"``.
            background: class of the cases that have none of several labels; None where there is none.
            branch: name of the module that has ``prototypes``, ``last_layer`` and ``classify``; "" is the network.
            feature: name of the network's method that turns images into what prototypes are compared with.
            refit_passes: passes over the similarities; 0 keeps the last layer as it is.
            refit_rate: learning rate of this, with Adam.
            trained_on: the cases that the network learnt from, where ``items`` may be others: a difference is noted.
            datalist: the JSON file, whose hash is noted.
            root: folder that image paths are written down relative to; None keeps them.
            method: name of the bundle.
            memory_gb: gigabytes of memory, of each process, for feature maps; where they need more the images pass
                again.

        Raises:
            ValueError: if an option is out of range or unknown, or there are no items.
        """
        check_choice("rule", rule, RULES)
        check_choice("unique", unique, UNIQUE)
        check_choice("scope", scope, SCOPES)
        if refit_passes < 0 or refit_rate <= 0:
            raise ValueError(
                f"refit_passes is {refit_passes} and refit_rate is {refit_rate}, expected 0 or more and a positive rate"
            )
        if not items:
            raise ValueError("items is empty, expected the cases of the dataloader as the datalist has them")
        if background is not None and not 0 <= background < len(classes):
            raise ValueError(f"background is {background}, expected one of the classes 0 to {len(classes) - 1} or null")
        self.dataloader = dataloader
        self.items = list(items)
        self.classes = list(classes)
        self.folder = Path(folder)
        self.validation = validation
        self.rule, self.unique, self.scope = rule, unique, scope
        self.background = background
        self.branch, self.feature = branch, feature
        self.refit_passes, self.refit_rate = refit_passes, refit_rate
        self.trained_on = trained_on
        self.datalist, self.root, self.method = datalist, root, method
        self.memory_gb = memory_gb
        self._number = {str(item["case_id"]): number for number, item in enumerate(self.items)}

    def __call__(self, trainer: Any) -> None:
        """Project the prototypes of the trainer's network; see :class:`common.types.StageEnd`.

        Raises:
            ValueError: if a class has no case, a case is not among the items, or a feature is not finite.
        """
        network, device = trainer.network_def, trainer.state.device
        branch, feature = network.get_submodule(self.branch), getattr(network, self.feature)
        layer = branch.prototypes
        before = layer.vectors.detach().clone()
        maps = FeatureMaps(feature, self.dataloader, device, self.memory_gb)
        with evaluating(network):
            sources = self._choose(maps, layer)
            with torch.no_grad():
                layer.vectors.copy_(sources.vector)
                layer.projected.fill_(True)
            effect = ProjectionEffect(branch, before, self.background, device)
            if self.validation is not None:
                effect.measure(FeatureMaps(feature, self.validation, device, memory_gb=0.0))
            own, similarity, label = self._revisit(maps, branch, sources)
        if self.refit_passes:
            fit_to_labels(branch.last_layer, similarity, label, self.background, self.refit_passes, self.refit_rate)
            effect.measure_refit()
        self_maps, placements = own.result(device)
        moved = direct_distance(before, layer.vectors.detach(), layer.similarity)
        entries = self._entries(branch, sources, moved, self_maps, placements)
        book = PrototypeBook(
            classes=self.classes,
            rule=self.rule,
            unique=self.unique,
            prototypes=entries,
            vectors=sources.vector.numpy(),
            self_maps=self_maps.half().numpy(),
            class_map=layer.class_map.cpu().numpy(),
            method=self.method,
            datalist_hash=None if self.datalist is None else datalist_hash(self.datalist),
            warnings=self._warnings(entries),
            effect=effect.figures,
        )
        if is_main_process():
            save_prototypes(self.folder, book)
            _report(book, self.folder)

    @torch.no_grad()
    def _choose(self, maps: FeatureMaps, layer: Any) -> Sources:
        """Let the images pass and give every prototype its source."""
        key, class_map = source_keys(self.items, self.unique), layer.class_map.cpu()
        # prototypes that compete for sources have the same number
        alone = torch.arange(len(class_map))
        group = alone if self.unique == "none" else class_map if self.scope == "class" else torch.zeros_like(alone)
        count = int(group.bincount().max())
        nearest = NearestSources(layer.vectors, layer.class_map, layer.similarity, key, count)
        for feature, batch in maps:
            nearest.add(feature, self._member(batch), self._numbers(batch))
        own = nearest.candidates()
        every = over_processes(own, key, count, maps.device)
        empty = class_map[every.case[:, 0] < 0].unique().tolist()
        if empty:
            raise ValueError(
                f"no image of {', '.join(repr(self.classes[index]) for index in empty)} is among those to project "
                "prototypes on, expected at least one for every class; give the dataloader training cases of all "
                "classes with their labels"
            )
        return chosen_sources(every, own, RULES[self.rule](every, key, group), maps.device)

    @torch.no_grad()
    def _revisit(self, maps: FeatureMaps, branch: Any, sources: Sources) -> tuple[SourceMaps, Tensor, Tensor]:
        """Draw the prototypes' maps of their own images; return also what the last layer is fitted to.

        Those are similarities (N,P) and labels, class indices (N,) or 0 and 1 (N,C), of the N cases whose label is
        known; nothing where there is no fit.
        """
        own = SourceMaps(sources, branch.prototypes)
        rows: list[tuple[Tensor, ...]] = []
        for feature, batch in maps:
            numbers = self._numbers(batch)
            own.add(feature, batch, numbers)
            if self.refit_passes:
                known = batch.get("label_given", torch.ones(len(numbers))).bool().cpu()
                label = batch["label"] if batch["label"].dim() == 1 else self._member(batch).float()
                similarity = branch.classify(feature)["similarity"]
                rows.append(tuple(values.cpu()[known] for values in (similarity, label, numbers)))
        if not rows:
            return own, torch.empty(0), torch.empty(0)
        similarity, label, number = (torch.cat(part) for part in zip(*rows, strict=True))
        return own, in_order(similarity, number, maps.device), in_order(label, number, maps.device)

    def _member(self, batch: Mapping[str, Any]) -> Tensor:
        return membership(batch["label"], len(self.classes), self.background, batch.get("label_given"))

    def _numbers(self, batch: Mapping[str, Any]) -> Tensor:
        names = [str(name) for name in batch["case_id"]]
        unknown = [name for name in names if name not in self._number]
        if unknown:
            raise ValueError(
                f"case '{unknown[0]}' of the dataloader is not among the {len(self._number)} items, expected the same "
                "cases; give both the same section of the datalist"
            )
        return torch.tensor([self._number[name] for name in names])

    def _entries(
        self, branch: Any, sources: Sources, moved: Tensor, self_maps: Tensor, placements: Sequence[Placement]
    ) -> list[PrototypeSource]:
        weight, class_map = branch.last_layer.weight.detach().tolist(), branch.prototypes.class_map.tolist()
        entries = []
        for index, placement in enumerate(placements):
            item = self.items[int(sources.case[index])]
            row, column = divmod(int(sources.cell[index]), self_maps.shape[2])
            box, peak, size = place_of(self_maps[index].numpy(), row, column)
            x, y = point_in_source(peak, size, placement)
            entries.append(
                PrototypeSource(
                    index=index,
                    class_name=self.classes[class_map[index]],
                    class_index=class_map[index],
                    weight=weight[index],
                    source_case=str(item["case_id"]),
                    source_image=_shown(item.get("image", ""), self.root),
                    row=row,
                    column=column,
                    moved=float(moved[index]),
                    shared=bool(sources.shared[index]),
                    box=_four(box_in_source(box, size, placement)),
                    peak=(x, y),
                    source_size=placement.source_size,
                    crop=placement.crop,
                    flipped=placement.flipped,
                    patient_id=None if item.get("patient_id") is None else str(item["patient_id"]),
                )
            )
        return entries

    def _warnings(self, entries: Sequence[PrototypeSource]) -> list[str]:
        """Return what a reader of the prototypes should know."""
        warnings = []
        for index, name in enumerate(self.classes):
            own = [entry for entry in entries if entry.class_index == index]
            shared = sum(entry.shared for entry in own)
            if shared:
                warnings.append(
                    f"{shared} of the {len(own)} prototypes of '{name}' share their source with another prototype: "
                    f"there are not enough sources, each {self.unique} being used once"
                )
        if self.trained_on is not None:
            trained = {str(item["case_id"]) for item in self.trained_on}
            foreign, absent = len(self._number.keys() - trained), len(trained - self._number.keys())
            if foreign or absent:
                warnings.append(
                    f"the cases projected on are not those trained on: {foreign} were not in training, and {absent} "
                    "that were are missing"
                )
        return warnings


def _shown(image: Any, root: str | Path | None) -> str:
    """Return an image's path, relative to a folder if there is one; "" for an image that is in no file."""
    if not isinstance(image, str | Path) or not image:
        return ""
    return str(image) if root is None else os.path.relpath(image, Path(root).resolve())


def _four(box: list[int] | None) -> tuple[int, int, int, int] | None:
    return None if box is None else (box[0], box[1], box[2], box[3])


def _report(book: PrototypeBook, folder: Path) -> None:
    """Say in the log what the projection did."""
    moved = sorted(source.moved for source in book.prototypes)
    cases = len({source.source_case for source in book.prototypes})
    effect = ", ".join(f"{name} {value:.4f}" for name, value in book.effect.items())
    logger.info(
        "prototypes: %d are now places of %d training images, moved by %.3g (median) to %.3g; %s; see %s",
        len(moved),
        cases,
        moved[len(moved) // 2],
        moved[-1],
        effect or "effect not measured",
        folder,
    )
    for warning in book.warnings:
        logger.warning("prototypes: %s", warning)
