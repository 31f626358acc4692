"""Explain an exam by sentences: how it fits those that state and those that deny a finding, and where.

Sources: Huang et al., "GLoRIA", ICCV 2021 (attention of words and sentences); yawwG/Visualize-what-you-learn (M and Y).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.explain.describer import Case, Explanation, shown_path
from common.explain.exam_card import ExamPictures, draw_exam
from common.explain.exam_places import ViewPlace, brightest_part, place_evidence, source_map
from common.explain.exam_words import exam_facts, explained_prompts, how_to_read, unseen_sides
from common.explain.finding_words import PromptTexts
from common.explain.prompt_scores import PromptScores, prompt_scores, word_maps
from common.explain.record_check import check_record
from common.explain.regions import FloatArray
from common.explain.schema import ArrayFile, Evidence, ExplanationRecord, Image
from common.explain.section_parts import word as as_word
from common.layers.region_grid import upsample_regions
from common.networks import MultiViewReportNet
from common.text import Tokenizer

__all__ = ["ExamReasoning"]

NEEDED = ("logits", "probability", "prompt_map", "view_importance", "view_mask", "side_vector", "region", "region_mask")
TOLERANCE = 0.02  # of probabilities: the network may have worked in half precision
DECODED = {"transmission": 1.0, "enhanced": 0.0}
"""Outputs of a decoder, and what they are where a view was not seen."""


@dataclass(frozen=True)
class Seen:
    """What of an exam can be spoken of.

    Attributes:
        case: of the sides that have a view only.
        views: numbers of the views that are there.
        columns: numbers of the network's outputs that the case's classes are.
        without: names of the sides that have no view.
    """

    case: Case
    views: list[int]
    columns: list[int]
    without: list[str]


class ExamReasoning:
    """Describe exams by the prompts of a network that was trained on exams and reports.

    Reads the outputs of :meth:`common.networks.MultiViewReportNet.explain`, and encodes the network's prompts once more
    to say how well the exam fits each kind of them. Sides without a view are left out of the record.

    Args:
        network: the network that explains, as it is when a case is described.
        prompts: file of the network's prompts; None leaves their wording and all words out.
        tokenizer: of the network, or its file; needed with ``prompts``.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the prompts are not those of the network.
    """

    def __init__(
        self,
        network: MultiViewReportNet,
        prompts: str | Path | None = None,
        tokenizer: Tokenizer | str | Path | None = None,
    ) -> None:
        if (prompts is None) != (tokenizer is None):
            raise ValueError("prompts and tokenizer go together: give both files, or neither")
        self.network = network
        self._files = prompts, tokenizer

    def describe(self, case: Case) -> Explanation:
        """Return record, maps and card of one exam."""
        seen = self._seen(case)
        scores = prompt_scores(self.network, case.output)
        self._check_scores(case, scores)
        prompt_maps = self._upsampled(case, case.output["prompt_map"][seen.columns])
        words = self._word_maps(case, seen)
        record = seen.case.record(how_to_read(bool(words)))
        record["views"] = [self._view(case, number) for number in seen.views]
        record["image"] = record["views"][0]
        if seen.without:
            record["warning"] = unseen_sides(seen.without)
        logits = case.output["logits"][seen.columns].astype(float).tolist()
        record["prediction"]["logits"] = dict(zip(record["classes"], logits, strict=True))
        record["evidence"] = [self._prompt(case, seen, row, scores, prompt_maps[row]) for row in range(len(logits))]
        record["evidence"] += [self._word(case, seen, name, *found) for name, found in words.items()]
        record["summary"] = exam_facts(record)
        arrays, record["files"] = self._pngs(case, seen, record, prompt_maps, words)
        archive = self._archive(case, seen, words)
        record["files"]["maps"] = {"file": "maps.npz", "values": "archive", "names": list(archive)}
        checked = check_record(record, f"case '{case.case_id}'")
        pictures = self._pictures(case, seen, checked, prompt_maps, words)
        return Explanation(checked, arrays, partial(draw_exam, checked, pictures), {"maps.npz": archive})

    @cached_property
    def _texts(self) -> PromptTexts | None:
        prompts, tokenizer = self._files
        if prompts is None or tokenizer is None:
            return None
        return PromptTexts(prompts, self.network.findings, self.network.sides, tokenizer, self.network.prompt_token)

    def _seen(self, case: Case) -> Seen:
        """Check the outputs and leave out what has no view."""
        missing = [name for name in NEEDED if name not in case.output]
        if missing:
            raise ValueError(
                f"case '{case.case_id}': the network's outputs are {', '.join(case.output)}, expected '{missing[0]}' "
                "among them; this describer is for networks trained on exams and reports"
            )
        sides, findings = self.network.sides, self.network.findings
        count = len(findings)
        if len(case.classes) != len(sides) * count or case.task != "multilabel":
            raise ValueError(
                f"case '{case.case_id}': the task is {case.task} with {len(case.classes)} classes, expected multilabel "
                f"with one class for each of the sides {', '.join(sides)} and findings {', '.join(findings)}"
            )
        views = [int(number) for number in np.flatnonzero(case.output["view_mask"])]
        membership = self.network.membership.cpu().numpy()
        present = [bool(membership[side][views].any()) for side in range(len(sides))]
        if not any(present):
            raise ValueError(f"case '{case.case_id}': the exam has no view, so there is nothing to explain")
        columns = [index for index in range(len(case.classes)) if present[index // count]]
        left = replace(
            case,
            classes=[case.classes[index] for index in columns],
            output={**case.output, "probability": case.output["probability"][columns]},
            label=None if case.label is None else np.asarray(case.label)[columns],
            placement=case.placements[views[0]] if case.placements else case.placement,
        )
        without = [name for name, there in zip(sides, present, strict=True) if not there]
        return Seen(left, views, columns, without)

    def _check_scores(self, case: Case, scores: PromptScores) -> None:
        """The scores that the card shows must be those that the network has decided by."""
        expected = torch.sigmoid((scores.score[..., 0] - scores.score[..., 1]).flatten()).numpy()
        present = case.output["view_mask"] @ self.network.membership.cpu().numpy().T > 0
        error = np.abs(expected - case.output["probability"]).reshape(len(present), -1)[present]
        if error.max() > TOLERANCE:
            raise ValueError(
                f"case '{case.case_id}': the network's prompts do not give its probabilities (off by "
                f"{error.max():.3f}); give the describer the network that explains, with the same weights"
            )

    def _upsampled(self, case: Case, maps: NDArray[Any]) -> FloatArray:
        """Return maps of regions (..., h, w) at the size of the network's input."""
        size = (case.image.shape[-2], case.image.shape[-1])
        values = torch.from_numpy(np.asarray(maps, dtype=np.float32))
        return upsample_regions(values, size, self.network.region_stride, self.network.region_offset).numpy()

    def _word_maps(self, case: Case, seen: Seen) -> dict[str, tuple[str, FloatArray, FloatArray]]:
        """Return for each class with a word of its own the word, and its map over regions and over pixels."""
        if self._texts is None:
            return {}
        count = len(self.network.findings)
        found = {index: self._texts.words_of(index // count, index % count) for index in seen.columns}
        known = {index: words for index, words in found.items() if words}
        if not known:
            return {}
        places = [
            (index // count, index % count, [(prompt, number) for prompt, number, _ in words])
            for index, words in known.items()
        ]
        maps = word_maps(self.network, case.output, places).numpy()
        return {
            case.classes[index]: (known[index][0][2], values, self._upsampled(case, values))
            for index, values in zip(known, maps, strict=True)
        }

    def _view(self, case: Case, number: int) -> Image:
        placement = case.placements[number] if case.placements else case.placement
        name = self.network.views[number]
        (rows, columns), (x0, y0, x1, y1) = placement.source_size, placement.crop
        image: Image = {
            "path": shown_path(str((case.item.get("views") or {}).get(name, ""))),
            "rows": rows,
            "columns": columns,
            "name": name,
            "importance": float(np.clip(case.output["view_importance"][number], 0.0, 1.0)),
        }
        window = [max(x0, 0), max(y0, 0), min(x1, columns), min(y1, rows)]
        if window != [0, 0, columns, rows]:
            image["crop"] = window
        return image

    def _prompt(self, case: Case, seen: Seen, row: int, scores: PromptScores, maps: FloatArray) -> Evidence:
        side, finding = divmod(seen.columns[row], len(self.network.findings))
        item = Evidence(kind="prompt", name=self.network.findings[finding])
        item["class"] = seen.case.classes[row]
        if self._texts is not None:
            item["prompt"] = self._texts.sentence(side, finding)
        place = brightest_part(maps)
        self._locate(case, seen, item, place)
        item["contribution"] = float(case.output["logits"][seen.columns[row]])
        details = {
            f"{kind}{answer}": values[side, finding, index].item()
            for kind, values in (("", scores.score), ("whole_", scores.whole), ("part_", scores.part))
            for index, answer in enumerate(("positive", "negative"))
        }
        if place is not None:
            attention = case.output["prompt_map"][seen.columns[row]]
            details["attention_in_view"] = float(attention[place.view].sum() / attention.sum())
            details["view_importance"] = float(case.output["view_importance"][place.view])
        item["details"] = details
        return item

    def _word(self, case: Case, seen: Seen, name: str, word: str, attention: FloatArray, maps: FloatArray) -> Evidence:
        item = Evidence(kind="word", name=word)
        item["class"] = name
        place = brightest_part(maps)
        self._locate(case, seen, item, place)
        if place is not None:
            item["details"] = {"attention_in_view": float(attention[place.view].sum() / attention.sum())}
        return item

    def _locate(self, case: Case, seen: Seen, item: Evidence, place: ViewPlace | None) -> None:
        if place is None or place.view not in seen.views:
            return
        item["view"] = seen.views.index(place.view)
        placement = case.placements[place.view] if case.placements else case.placement
        place_evidence(item, place, (case.image.shape[-2], case.image.shape[-1]), placement)

    def _pngs(
        self,
        case: Case,
        seen: Seen,
        record: ExplanationRecord,
        prompt_maps: FloatArray,
        words: Mapping[str, tuple[str, FloatArray, FloatArray]],
    ) -> tuple[dict[str, NDArray[Any]], dict[str, ArrayFile]]:
        """Return the maps of the explained classes and of the decoder in the size of the views' files."""
        arrays: dict[str, NDArray[Any]] = {}
        files: dict[str, ArrayFile] = {}
        count = len(self.network.findings)
        for item in explained_prompts(record):
            row = record["classes"].index(item["class"])
            side = seen.columns[row] // count
            maps = {"prompt": prompt_maps[row]}
            if item["class"] in words:
                maps["word"] = words[item["class"]][2]
            for kind, values in maps.items():
                highest = float(values.max())
                for place, view in enumerate(seen.views):
                    if not self.network.membership[side, view] or highest <= 0:
                        continue
                    key = f"{kind}_{as_word(item['class'])}_{as_word(self.network.views[view])}"
                    arrays[f"{key}.png"] = source_map(values[view] / highest, self._placement(case, view))
                    files[key] = {"file": f"{key}.png", "values": "share", "view": place, "scale": [0.0, highest]}
        for kind, fill in DECODED.items():
            for place, view in enumerate(seen.views if kind in case.output else []):
                key = f"{kind}_{as_word(self.network.views[view])}"
                arrays[f"{key}.png"] = source_map(case.output[kind][view], self._placement(case, view), fill)
                files[key] = {"file": f"{key}.png", "values": "share", "view": place}
        return arrays, files

    def _placement(self, case: Case, view: int) -> Any:
        return case.placements[view] if case.placements else case.placement

    def _archive(
        self, case: Case, seen: Seen, words: Mapping[str, tuple[str, FloatArray, FloatArray]]
    ) -> dict[str, NDArray[Any]]:
        """Return all maps as computed, and what it takes to put them back."""
        archive = {
            "classes": np.array(seen.case.classes),
            "views": np.array(self.network.views),
            "view_mask": case.output["view_mask"],
            "prompt_map": case.output["prompt_map"][seen.columns],
        }
        if words:
            archive["word_classes"] = np.array(list(words))
            archive["words"] = np.array([word for word, _, _ in words.values()])
            archive["word_map"] = np.stack([values for _, values, _ in words.values()])
        archive |= {name: case.output[name] for name in DECODED if name in case.output}
        grid = {
            "region_stride": self.network.region_stride,
            "region_offset": self.network.region_offset,
            "image_size": case.image.shape[-2:],
        }
        return archive | {name: np.array(value) for name, value in grid.items()}

    def _pictures(
        self,
        case: Case,
        seen: Seen,
        record: ExplanationRecord,
        prompt_maps: FloatArray,
        words: Mapping[str, tuple[str, FloatArray, FloatArray]],
    ) -> ExamPictures:
        """Return what the card shows, of the views that are there."""
        shown = [item["class"] for item in explained_prompts(record)]
        rows = {name: record["classes"].index(name) for name in shown}
        count = len(self.network.findings)
        return ExamPictures(
            placements=[self._placement(case, view) for view in seen.views],
            images=case.image[seen.views].mean(axis=1),
            sides=[int(self.network.membership[:, view].int().argmax()) for view in seen.views],
            side_of={name: seen.columns[row] // count for name, row in rows.items()},
            heat={name: prompt_maps[row][seen.views] for name, row in rows.items()},
            words={name: (words[name][0], words[name][2][seen.views]) for name in shown if name in words},
            decoded={name: case.output[name][seen.views] for name in DECODED if name in case.output},
        )
