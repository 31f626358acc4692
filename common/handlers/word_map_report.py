"""Write whether the maps of prompts, of single words and of abnormality point at what has been outlined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from common.explain.weak_localisation import otsu_level
from common.handlers.classification_report import patient_of
from common.handlers.finding_words import finding_words, word_vectors
from common.layers.region_grid import upsample_regions
from common.metrics.abnormality_map import SHARE, dice_above, highest_share, pixel_precision
from common.metrics.bootstrap import mean_interval
from common.metrics.box_localisation import disease_means
from common.metrics.explanation import pointing_game
from common.metrics.image_filters import FILTERS, foreground_of
from common.metrics.localisation import widened
from common.utils.choices import check_choice
from common.utils.files import update_json

SENTENCE, WORD, CHANCE = "sentence_pointing", "word_pointing", "word_pointing_chance"


class WordMapReport:
    """Write pointing games of prompts, words and simple filters, and scores of the map M, to ``metrics.json``.

    A question is a finding outlined in a view, in the batch's "finding_mask" (:class:`common.data.LoadFindingMasksd`):
    does the map of this finding, on its side, have its maximum there? Asked are the map of the network's prompts, that
    of the word that names the finding inside them, and filters that look at brightness alone. Of a network with a
    decoder it is also measured how far 1 - M and the outlines of all findings of a view agree, beside the image's own
    brightness. For evaluation in one process. Nothing is written where nothing is outlined.
    """

    def __init__(
        self,
        output_dir: str | Path,
        split: str,
        network: Any,
        sides: Sequence[str],
        findings: Sequence[str],
        view_side: Sequence[int],
        prompts: str | Path | None = None,
        tokenizer: str | Path | None = None,
        items: Sequence[Mapping[str, Any]] = (),
        tolerance: float = 4.0,
        share: float = SHARE,
        filters: Sequence[str] = tuple(FILTERS),
        seed: int = 0,
    ) -> None:
        """Say what to measure.

        Args:
            output_dir: the run folder.
            split: "training", "validation" or "test".
            network: the network itself, without wrappers.
            sides: names of the S sides.
            findings: names of the F findings.
            view_side: the side of each of the V views.
            prompts: the file of its prompts, whose positive ones name the findings; None leaves words out.
            tokenizer: the file of its tokenizer, needed for words.
            items: the split's items, for their patients.
            tolerance: of the pointing games, in pixels of the network's input.
            share: of a view's pixels that is drawn of M and of brightness, for their Dice.
            filters: names in :data:`common.metrics.image_filters.FILTERS`.
            seed: of the bootstrap.

        Raises:
            ValueError: for prompts without a tokenizer, an unknown filter, or a number out of range.
        """
        if prompts is not None and tokenizer is None:
            raise ValueError("prompts are given without a tokenizer, which splits them into words: give both or none")
        if tolerance < 0 or not 0 < share <= 1:
            raise ValueError(f"tolerance is {tolerance} and share {share}, expected 0 or more, and above 0 up to 1")
        for name in filters:
            check_choice("filters", name, FILTERS)
        self.output_dir = Path(output_dir)
        self.split = split
        self.network = network
        self.findings = list(findings)
        self.view_side = list(view_side)
        given = prompts is not None and tokenizer is not None
        self.words = finding_words(prompts, tokenizer, findings, sides) if given else None  # type: ignore[arg-type]
        self.patients = patient_of(items)
        self.tolerance, self.share = tolerance, share
        self.filters = list(filters)
        self.seed = seed
        self._seen = _Seen()

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._measure)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self._seen = _Seen()

    def _measure(self, engine: Engine) -> None:
        batch, output = engine.state.batch, engine.state.output
        mask, given = batch.get("finding_mask"), batch.get("finding_mask_given")
        expected = (len(self.view_side), len(self.findings))
        if mask is None or given is None or tuple(mask.shape[1:3]) != expected:
            got = "none" if mask is None else f"one of {tuple(mask.shape[1:3])} views and findings"
            raise ValueError(
                f"the batch has {got} of a 'finding_mask' of {expected}: put LoadFindingMasksd with the same views and "
                "findings into the preprocessing, or leave WordMapReport out"
            )
        mask, given = mask > 0, given > 0
        mask = mask & given[:, :, :, None, None]
        exam, view, finding = mask.flatten(3).any(3).nonzero().T
        if not len(exam):
            return
        there = foreground_of(batch["image"].flatten(0, 1)).unflatten(0, mask.shape[:2])
        maps = self._maps(batch["image"], output, exam, view, finding) | {(CHANCE, ""): there[exam, view].float()}
        self._seen.case += [str(batch["case_id"][row]) for row in exam.tolist()]
        self._seen.finding += finding.tolist()
        truth = mask[exam, view, finding].cpu().numpy()
        near = torch.from_numpy(np.stack([widened(one, self.tolerance) for one in truth]))
        for (name, other), values in maps.items():
            hits = pointing_game(values.cpu()[:, None].clamp(min=0), near[:, None].float())
            self._seen.hits.setdefault((name, other), []).extend(hits.tolist())
        if "transmission" in output:
            known = (given.all(2) & mask.flatten(2).any(2)).nonzero().tolist()
            for row, place in known:
                found = (1 - output["transmission"][row, place], batch["image"][row, place, 0], there[row, place])
                self._compare(str(batch["case_id"][row]), *found, mask[row, place].any(0))

    def _maps(
        self, image: Tensor, output: Mapping[str, Tensor], exam: Tensor, view: Tensor, finding: Tensor
    ) -> dict[tuple[str, str], Tensor]:
        """Return the maps (M,H,W) of M findings in views, by the names of their pointing games and of other maps."""
        size = (image.shape[-2], image.shape[-1])
        side = torch.as_tensor(self.view_side, device=view.device)[view]
        column = side * len(self.findings) + finding
        grid = {"stride": int(self.network.region_stride), "offset": int(self.network.region_offset)}
        maps = {(SENTENCE, ""): upsample_regions(output["prompt_map"][exam, column, view], size, **grid)}
        if self.words is not None:
            vectors = self._seen.word_vectors(self.network, self.words)
            region, wanted = output["region"][exam, view], vectors[side, finding]
            cosine = torch.einsum("mdhw,md->mhw", region.to(wanted.dtype), wanted)
            seen = (output["region_mask"][exam, view] > 0).to(cosine.dtype)
            maps[WORD, ""] = upsample_regions((cosine + 1) * seen, size, **grid)
        views = image[exam, view]
        return maps | {(WORD, name): FILTERS[name](views) for name in self.filters}

    def _compare(self, case: str, abnormality: Tensor, brightness: Tensor, there: Tensor, truth: Tensor) -> None:
        """Note the scores of 1 - M and of brightness in one view, each (H,W)."""
        inside, seen = truth.cpu().numpy(), self._seen
        area = there.cpu().numpy() | inside
        seen.mapped.append(case)
        for name, values in (("", abnormality.float()), ("/brightness", brightness.float())):
            score = values.cpu().numpy()
            seen.note(f"map_auprc{name}", pixel_precision(score, inside, area))
            seen.note(f"map_dice{name}", dice_above(score, highest_share(score, area, self.share), inside, area))
        grey = brightness.float().cpu().numpy()
        seen.note("map_dice/otsu", dice_above(grey, otsu_level(grey[area][None]), inside, area))
        seen.note("map_auprc_chance", float(inside.sum() / area.sum()))

    def _write(self, engine: Engine) -> None:
        seen = self._seen
        metrics: dict[str, Any] = {}
        groups = [self.patients.get(case, case) for case in seen.case]
        for (name, other), hits in seen.hits.items():
            table = disease_means(name, hits, seen.finding, self.findings, groups, self.seed)
            metrics |= {f"{metric}/{other}" if other else metric: entry for metric, entry in table.items()}
        groups = [self.patients.get(case, case) for case in seen.mapped]
        for name, values in seen.scores.items():
            metrics[name] = mean_interval(values, groups, seed=self.seed).as_record()
        if metrics:
            update_json(self.output_dir / "metrics.json", {self.split: metrics})


class _Seen:
    """What is kept of the findings and views seen, and the vectors of words, which stay the same meanwhile."""

    def __init__(self) -> None:
        self.case: list[str] = []
        self.finding: list[int] = []
        self.hits: dict[tuple[str, str], list[float]] = {}
        self.mapped: list[str] = []
        self.scores: dict[str, list[float]] = {}
        self._words: Tensor | None = None

    def note(self, name: str, value: float) -> None:
        self.scores.setdefault(name, []).append(value)

    def word_vectors(self, network: Any, words: Any) -> Tensor:
        if self._words is None:
            self._words = word_vectors(network, words)
        return self._words
