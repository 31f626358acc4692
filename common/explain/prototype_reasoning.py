"""Explain by likeness: which part of the image looks like which part of which training image, and what that adds up to.

Source of the layout: Chen et al., "This Looks Like That: Deep Learning for Interpretable Image Recognition", NeurIPS
2019, figure 1. Here the record lists every prototype, so that what it lists adds up to the logit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.explain.activation import place_of
from common.explain.background_card import draw_against_background
from common.explain.card import Card
from common.explain.class_heatmap import COMBINATIONS, class_heatmap, ordinary_similarity, similarity_range
from common.explain.describer import Case, Explanation
from common.explain.prototype_card import draw_prototype_reasoning
from common.explain.prototype_card_parts import Comparison
from common.explain.prototype_files import PrototypeBook, load_prototypes
from common.explain.prototype_patches import Patch, SourceImages, cut_patch, network_view, part_in, patch_side
from common.explain.prototype_words import (
    NOT_PROJECTED,
    OTHER_PROTOTYPES,
    UNKNOWN_SOURCE,
    explained_classes,
    facts,
    how_to_read,
    number_of,
)
from common.explain.record_check import check_record
from common.explain.regions import FloatArray, box_in_source, point_in_source
from common.explain.schema import Evidence, ExplanationRecord
from common.explain.section_parts import word
from common.layers import ClassConnectedLinear, PrototypeLayer
from common.utils.choices import check_choice

__all__ = ["OUTPUTS", "PrototypeReasoning"]

OUTPUTS = ("ensemble", "student", "teacher")
NEEDED = ("probability", "logits", "similarity", "similarity_map", "location")
SHOWN_CLASSES = 2
TOLERANCE = 1e-3  # of probabilities: the network may have worked in half precision

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Reasoning:
    """The sum behind a decision, in double precision.

    Attributes:
        contribution: similarity times weight (P,).
        sums: their sum for each class, the background's last where there is one.
        logits: of the C predicted classes: the sums, less that of the background.
        without: final probabilities if a prototype added nothing (P, C).
        branch_without: those of the branch that the prototypes belong to (P, C).
    """

    contribution: Doubles
    sums: Doubles
    logits: Doubles
    without: Doubles
    branch_without: Doubles


class PrototypeReasoning:
    """Describe cases by the prototypes of a network that adds up similarities.

    Reads from the output "similarity" (P,), "similarity_map" (P, h, w), "location" (P,), "logits" and "probability"
    (C,), where it is there "distance" (P,), and from networks of two branches "student_logits", "student_probability"
    and "teacher_probability" (C,).

    Args:
        prototypes: the network's prototypes, as they are when a case is described.
        last_layer: their weights.
        folder: where the projection has left ``prototypes.json``; None where there was none.
        dataset_dir: the folder that the image paths in it begin in, for pictures of the training images; None without.
        output: of a network of two branches, whose probability is the prediction: the mean of both (``"ensemble"``),
            the ``"student"``'s or the ``"teacher"``'s.
        top: prototypes that the card shows, of each of the two most probable classes; with a background, of each
            predicted class (see :func:`common.explain.prototype_words.explained_classes`) and of the background.
        combine: how the heat-maps put similarity maps together, see :func:`common.explain.class_heatmap`.
        background: of a network whose last class is what all others are held against, such as
            :class:`common.networks.CIPLNet`, that class's name, such as "No Finding": the logit of a class is its sum
            less that of the background. The cases' classes are those without it. None where all classes are predicted.
    """

    def __init__(
        self,
        prototypes: PrototypeLayer,
        last_layer: ClassConnectedLinear,
        folder: str | Path | None = None,
        dataset_dir: str | Path | None = None,
        output: str = "ensemble",
        top: int = 3,
        combine: str = "max",
        background: str | None = None,
    ) -> None:
        check_choice("output", output, OUTPUTS)
        check_choice("combine", combine, COMBINATIONS)
        if not 1 <= top <= 6:
            raise ValueError(f"top is {top}, expected 1 to 6 prototypes of a class on the card")
        self.prototypes = prototypes
        self.last_layer = last_layer
        self.folder = None if folder is None else Path(folder)
        self.output = output
        self.top = top
        self.combine = combine
        self.background = background
        self.images = SourceImages([] if dataset_dir is None else [dataset_dir])

    def describe(self, case: Case) -> Explanation:
        """Return record, heat-maps and card of one case."""
        self._check(case)
        book, warning = self._provenance()
        reasoning = self._reason(case)
        branches = "student_probability" in case.output
        record = case.record(how_to_read(branches, warning != NOT_PROJECTED, self.background))
        if warning:
            record["warning"] = warning
        record["prediction"]["logits"] = dict(zip(case.classes, reasoning.logits.tolist(), strict=True))
        names = self._names(case)
        if self.background is not None:
            record["background"] = self.background
            record["prediction"]["class_logits"] = dict(zip(names, reasoning.sums.tolist(), strict=True))
        if branches:
            record["branches"] = {
                branch: dict(
                    zip(case.classes, case.output[f"{branch}_probability"].astype(float).tolist(), strict=True)
                )
                for branch in ("student", "teacher")
            }
        order = np.argsort(-reasoning.contribution, kind="stable")
        record["evidence"] = [self._evidence(case, reasoning, int(index), book) for index in order]
        record["summary"] = facts(record, self.output, reasoning.without[order], case.classes)
        scale, heatmaps = self._heatmaps(case, book)
        arrays: dict[str, NDArray[Any]] = {}
        record["files"] = {}
        for name, values in heatmaps.items():
            key = f"heatmap_{word(name)}"
            arrays[f"{key}.png"] = case.to_source(values)
            record["files"][key] = {"file": f"{key}.png", "values": "share", "scale": list(scale)}
        draw = partial(self._draw, check_record(record, f"case '{case.case_id}'"), case, heatmaps, book)
        return Explanation(record, arrays, draw)

    @cached_property
    def _book(self) -> PrototypeBook | None:
        if self.folder is None or not (self.folder / "prototypes.json").is_file():
            return None
        return load_prototypes(self.folder)

    def _provenance(self) -> tuple[PrototypeBook | None, str]:
        """Return what is known of the prototypes' sources, and what a reader must be told about that."""
        if not bool(self.prototypes.projected):
            return None, NOT_PROJECTED
        if self._book is None:
            return None, UNKNOWN_SOURCE
        return (self._book, "") if self._book.describes(self.prototypes.vectors) else (None, OTHER_PROTOTYPES)

    def _names(self, case: Case) -> list[str]:
        """Return the names of all classes that have prototypes."""
        return [*case.classes, *([] if self.background is None else [self.background])]

    def _check(self, case: Case) -> None:
        missing = [name for name in NEEDED if name not in case.output]
        if missing:
            raise ValueError(
                f"case '{case.case_id}': the network's outputs are {', '.join(case.output)}, expected '{missing[0]}' "
                "among them; this describer is for networks with prototypes"
            )
        given, known = len(case.output["similarity"]), len(self.last_layer.weight)
        if given != known:
            raise ValueError(
                f"case '{case.case_id}': the network compares with {given} prototypes and the describer knows {known}; "
                "give it the prototypes and the last layer of the same network"
            )
        names = self._names(case)
        if self.background is not None and (self.background in case.classes or case.task != "multilabel"):
            raise ValueError(
                f"case '{case.case_id}': the background is '{self.background}', the task {case.task} with the classes "
                f"{', '.join(case.classes)}; expected a multilabel task whose classes do not hold the background"
            )
        if self.last_layer.num_classes != len(names):
            raise ValueError(
                f"case '{case.case_id}': the last layer has {self.last_layer.num_classes} classes, expected "
                f"{len(names)} for {', '.join(names)}; name a background class with 'background'"
            )

    def _reason(self, case: Case) -> Reasoning:
        """Redo the network's last step in double precision, and once more without each prototype."""
        weight = self.last_layer.weight.detach().cpu().double().numpy()
        class_map = self.last_layer.class_map.cpu().numpy()
        contribution = weight * case.output["similarity"].astype(np.float64)
        of_class = class_map[:, None] == np.arange(self.last_layer.num_classes)
        shares = np.where(of_class, contribution[:, None], 0.0)
        sums = shares.sum(axis=0)
        logits = self._against_background(sums)
        branch, without = (_probability(self._against_background(each), case.task) for each in (sums, sums - shares))
        student = case.output.get("student_probability", case.output["probability"])
        _expect_equal(case, branch, student, "the logits of its prototypes do not give the network's probability")
        if "teacher_probability" not in case.output:
            return Reasoning(contribution, sums, logits, without, without)
        teacher = case.output["teacher_probability"].astype(np.float64)
        final = self._final(branch, teacher)
        problem = f"the prediction is not that of the {self.output}; set 'output' as it is set for the network"
        _expect_equal(case, final, case.output["probability"], problem)
        return Reasoning(contribution, sums, logits, self._final(without, teacher), without)

    def _against_background(self, sums: Doubles) -> Doubles:
        """Return logits from sums (..., C) over the prototypes of each class."""
        return sums if self.background is None else sums[..., :-1] - sums[..., -1:]

    def _final(self, student: Doubles, teacher: Doubles) -> Doubles:
        if self.output == "ensemble":
            return (student + teacher) / 2
        return student if self.output == "student" else np.broadcast_to(teacher, student.shape)

    def _evidence(self, case: Case, reasoning: Reasoning, index: int, book: PrototypeBook | None) -> Evidence:
        class_index = int(self.last_layer.class_map[index])
        item = Evidence(kind="prototype", name=f"prototype {index}")
        item["class"] = self._names(case)[class_index]
        values = case.output["similarity_map"][index]
        row, column = divmod(int(case.output["location"][index]), values.shape[1])
        part, peak, size = place_of(values, row, column)
        box = box_in_source(part, size, case.placement)
        if box is not None:
            item["box"], item["peak"] = box, point_in_source(peak, size, case.placement)
        item["contribution"] = float(reasoning.contribution[index])
        if book is not None:
            item["source_case"] = book.prototypes[index].source_case
        details = {"similarity": float(case.output["similarity"][index])}
        details["weight"] = self.last_layer.weight[index].item()
        if "distance" in case.output:
            details["distance"] = float(case.output["distance"][index])
        if item["class"] != self.background:  # which speaks against every class, not for one
            details["probability_without"] = float(reasoning.without[index, class_index])
            if "student_probability" in case.output:
                details["student_probability_without"] = float(reasoning.branch_without[index, class_index])
        item["details"] = details
        return item

    def _heatmaps(self, case: Case, book: PrototypeBook | None) -> tuple[tuple[float, float], dict[str, FloatArray]]:
        """Return the similarities that are 0 and 1 on them, and a heat-map (h, w) for every class with prototypes."""
        lowest, highest = similarity_range(self.prototypes)
        lowest = lowest if book is None else ordinary_similarity(book.self_maps, lowest)
        maps = torch.from_numpy(np.asarray(case.output["similarity_map"], dtype=np.float32))
        names = self._names(case)
        index = torch.arange(len(names))
        combined = class_heatmap(
            maps[None].expand(len(index), -1, -1, -1),
            self.last_layer.weight.detach().cpu(),
            self.last_layer.class_map.cpu(),
            index,
            self.combine,
            lowest=lowest,
            highest=highest,
        )
        return (lowest, highest), dict(zip(names, combined.numpy(), strict=True))

    def _draw(
        self, record: ExplanationRecord, case: Case, heatmaps: dict[str, FloatArray], book: PrototypeBook | None
    ) -> Card:
        probabilities = record["prediction"]["probabilities"]
        shown = sorted(record["classes"], key=lambda name: -probabilities[name])[:SHOWN_CLASSES]
        if self.background is not None:
            shown = [*explained_classes(record), self.background]
        columns = {
            name: [
                self._compare(case, item, book)
                for item in [item for item in record["evidence"] if item["class"] == name][: self.top]
            ]
            for name in shown
        }
        maps = {name: case.seen(heatmaps[name]) for name in shown}
        darkest = "least possible" if book is None else "ordinary place"
        if self.background is not None:
            return draw_against_background(record, case.seen(case.image), maps, columns, darkest)
        return draw_prototype_reasoning(record, case.seen(case.image), maps[shown[0]], columns, darkest)

    def _compare(self, case: Case, item: Evidence, book: PrototypeBook | None) -> Comparison:
        """Cut out what a prototype is compared with here, and what it is a copy of, on the same scale."""
        index, mirrored = number_of(item), case.placement.flipped
        size = (case.image.shape[-2], case.image.shape[-1])
        values = case.output["similarity_map"][index]
        row, column = divmod(int(case.output["location"][index]), values.shape[1])
        here = part_in(values, row, column, size)
        if book is None:
            return Comparison(item, cut_patch(case.image, here, patch_side([here.box], size), mirrored))
        source = book.prototypes[index]
        there = part_in(book.self_maps[index].astype(np.float32), source.row, source.column, size)
        side = patch_side([here.box, there.box], size)
        image = self.images.read(source.source_image, source.source_size)
        training: Patch | None = None
        if image is not None:
            training = cut_patch(network_view(image, source.placement, size), there, side, source.flipped)
        return Comparison(item, cut_patch(case.image, here, side, mirrored), training)


def _probability(logits: Doubles, task: str) -> Doubles:
    """Return softmax, or in a multi-label task sigmoid, of logits (..., C)."""
    if task == "multilabel":
        return np.asarray(1 / (1 + np.exp(-logits)))
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def _expect_equal(case: Case, expected: Doubles, given: NDArray[Any], problem: str) -> None:
    if np.abs(expected - given).max() > TOLERANCE:
        raise ValueError(
            f"case '{case.case_id}': {problem} ({np.round(given, 4).tolist()}, expected "
            f"{np.round(expected, 4).tolist()})"
        )
