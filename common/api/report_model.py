"""A trained network of exams and reports that takes files and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.data import LoadViewsd, Placement
from common.explain.prompt_scores import attend
from common.layers.region_grid import upsample_regions
from common.networks import MultiViewReportNet
from common.text import Tokenizer
from common.utils.choices import check_choice

__all__ = ["KINDS", "LEVELS", "Exam", "ReportModel"]

Exam = Mapping[str, str | Path]
"""The files of an exam by the names of their views."""

LEVELS = ("exam", "side", "view")
KINDS = ("global", "local", "both")


class ReportModel:
    """A network, and what turns files and sentences into its input.

    Args:
        network: trained, in evaluation mode; it may be on any device.
        load: reads the views of an exam.
        tokenizer: of the network.

    Attributes:
        network: the network.
        views: names of the V views.
        classes: what :func:`common.api.vwyl.zero_shot_classify` answers for.
    """

    def __init__(self, network: MultiViewReportNet, load: LoadViewsd, tokenizer: Tokenizer) -> None:
        self.network, self.load, self.tokenizer = network, load, tokenizer
        self.views = list(network.views)
        pairs = [(side, finding) for side in network.sides for finding in network.findings]
        self.classes = [f"{side} {finding}" if len(network.sides) > 1 else finding for side, finding in pairs]

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.network.parameters()).device

    def images(
        self, exams: Exam | Sequence[Exam] | Tensor, view_mask: Tensor | None = None
    ) -> tuple[Tensor, list[list[Placement]]]:
        """Return exams as the network's input (E,V,1,H,W), and where each view lies in its file, if it is one.

        Args:
            exams: see :meth:`encode_exam`.
            view_mask: see :meth:`encode_exam`.
        """
        if isinstance(exams, Tensor):
            image = exams[None] if exams.ndim == 4 else exams
            if image.ndim != 5 or image.shape[1] != len(self.views):
                raise ValueError(
                    f"exams have shape {tuple(exams.shape)}, expected (V,1,H,W) or (E,V,1,H,W) with the "
                    f"{len(self.views)} views {', '.join(self.views)}"
                )
            if view_mask is not None:
                image = image * view_mask.reshape(image.shape[:2])[:, :, None, None, None].to(image)
            return image.to(self.device), []
        given = [exams] if isinstance(exams, Mapping) else list(exams)
        items = [self.load({"views": dict(exam), "case_id": str(number)}) for number, exam in enumerate(given)]
        places = [[Placement.of(item, view) for view in range(len(self.views))] for item in items]
        return torch.stack([item["image"] for item in items]).to(self.device), places

    @torch.no_grad()
    def encode_exam(self, views: Exam | Sequence[Exam] | Tensor, view_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Encode exams.

        Args:
            views: one exam or several: files by the names of their views, of which any may be missing; or the
                network's input (V,1,H,W) or (E,V,1,H,W) in [0,1], right breasts mirrored, 0 where a view is absent.
            view_mask: which views of a given input exist, (V,) or (E,V), bool; None for all that are not black.

        Returns:
            What :meth:`common.networks.MultiViewReportNet.encode` returns.

        Raises:
            ValueError: for an input of another shape.
            CaseError: for an exam without a view, an unknown view, or a file that cannot be used.
        """
        encoded: dict[str, Tensor] = self.network.encode(self.images(views, view_mask)[0])
        return encoded

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Encode M sentences.

        Returns:
            ``sentence`` and ``sentence_local`` (M,D), unit vectors; ``word_vector`` (M,W,D) and ``word_mask`` (M,W).

        Raises:
            ValueError: if a text has no word that the tokenizer knows.
        """
        token, word = self.tokenizer.encode(texts, self.network.prompt_token.shape[-1])
        encoded: dict[str, Tensor] = self.network.encode_text(token.to(self.device), word.to(self.device))
        return encoded

    def similarity(
        self, exams: Exam | Sequence[Exam] | Tensor, texts: Sequence[str], level: str = "exam", kind: str = "both"
    ) -> Tensor:
        """Compare exams with M sentences.

        Args:
            exams: see :meth:`encode_exam`.
            texts: the sentences.
            level: "exam", each "side" or each "view".
            kind: "global" compares whole images, "local" the regions that a sentence attends to, "both" is the mean.

        Returns:
            Cosines in [-1,1] on the CPU: (E,M), (E,S,M) or (E,V,M); 0 for what has no view.

        Raises:
            ValueError: for an unknown level or kind.
        """
        check_choice("level", level, LEVELS)
        check_choice("kind", kind, KINDS)
        encoded, text = self.encode_exam(exams), self.encode_text(texts)
        whole = encoded[f"{level}_vector"].float() @ text["sentence"].float().T
        if kind == "global":
            return whole.cpu()
        part = torch.stack([self._local(one, text["sentence_local"].float().cpu(), level) for one in _each(encoded)])
        return part if kind == "local" else (whole.cpu() + part) / 2

    def explain(self, exam: Exam | Tensor, text: str) -> dict[str, Any]:
        """Say how well a sentence fits an exam, and where.

        Args:
            exam: one exam, see :meth:`encode_exam`.
            text: the sentence. It may look at all views; name a side in :func:`common.api.vwyl.zero_shot_classify`.

        Returns:
            ``similarity``, as of level "exam"; ``map`` (V,H,W) over the network's input, what the sentence attends to,
            and ``word_map``, the same of each word; each sums to 1 over the regions that it was computed for;
            ``placement``, where each view lies in its file, if files were given: ``placement[v].to_source(map[v])``.

        Raises:
            ValueError: if several exams are given.
        """
        image, places = self.images(exam)
        if len(image) != 1:
            raise ValueError(f"{len(image)} exams are given, expected one; explain them one by one")
        with torch.no_grad():
            one = next(iter(_each(self.network.encode(image))))
        encoded, words = self.encode_text([text]), self.tokenizer.words(text)
        known = min(len(words), int(encoded["word_mask"][0].sum()))
        vectors = torch.cat([encoded["sentence_local"], encoded["word_vector"][0, :known]]).float().cpu()
        views = torch.ones(len(vectors), len(self.views), dtype=torch.bool)
        _, maps = attend(self.network, one, torch.nn.functional.normalize(vectors, dim=1, eps=1e-8), views)
        grid = self.network.region_stride, self.network.region_offset
        drawn = upsample_regions(maps, (image.shape[-2], image.shape[-1]), *grid)
        return {
            "similarity": self.similarity(image, [text])[0, 0].item(),
            "map": drawn[0],
            "word_map": dict(zip(words[:known], drawn[1:], strict=True)),
            "placement": places[0] if places else [],
        }

    def _local(self, one: Mapping[str, Any], vectors: Tensor, level: str) -> Tensor:
        """Return attention-weighted cosines of one exam with sentences: (M,), (S,M) or (V,M)."""
        V = len(self.views)
        views = {
            "exam": torch.ones(1, V, dtype=torch.bool),
            "side": self.network.membership.cpu(),
            "view": torch.eye(V, dtype=torch.bool),
        }[level]
        rows = views.repeat_interleave(len(vectors), 0)
        score, _ = attend(self.network, one, vectors.repeat(len(views), 1), rows)
        return score[: len(vectors)] if level == "exam" else score.view(len(views), -1)


def _each(encoded: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Return what is known of each exam's regions, on the CPU."""
    region, mask = encoded["region"].float().cpu(), encoded["region_mask"].cpu()
    return [{"region": one.numpy(), "region_mask": seen.numpy()} for one, seen in zip(region, mask, strict=True)]
