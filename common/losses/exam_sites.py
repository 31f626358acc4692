"""What a batch of exams is compared by: sites on the side of the images, sentences or reports on the side of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from common.losses.report_contrast import key_sets
from common.losses.targets import required

__all__ = ["Sites", "Texts", "gather_sites", "gather_texts"]

METHOD_HINT = "it is what the network's method 'match' returns; train with common.engines.ReportStep"


@dataclass(frozen=True)
class Sites:
    """The C = E·S sites of E exams, exam-major: sides, or whole exams as one side that shows all views.

    Attributes:
        exam: (C,) int64.
        side: (C,) int64; 0 for whole exams.
        present: (C,) bool, whether any view of it exists.
        slot: (S,U) int64, the slots of each side's views, filled up with slot 0.
        slot_mask: (S,U) bool, False where filled up.
    """

    exam: Tensor
    side: Tensor
    present: Tensor
    slot: Tensor
    slot_mask: Tensor

    def views_of(self, values: Tensor) -> Tensor:
        """Return values (E,V,...) of views as (C,U,...) of the sites' views; those filled up are of no meaning."""
        return values[:, self.slot].flatten(0, 1)

    def exists(self, view_mask: Tensor) -> Tensor:
        """Return which of the sites' views (C,U) exist, for views (E,V), bool."""
        return self.views_of(view_mask) & self.slot_mask.repeat(len(view_mask), 1)

    def regions_of(self, region: Tensor, region_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the regions of all views of each site, (C,D,U·h·w), and which count (C,U·h·w)."""
        vectors = self.views_of(region).flatten(3).transpose(1, 2).flatten(2)
        counts = self.views_of(region_mask.flatten(2)) & self.slot_mask.repeat(len(region), 1).unsqueeze(2)
        return vectors, counts.flatten(1)


@dataclass(frozen=True)
class Texts:
    """The M texts of a batch: all sentences of all exams, or one report per exam.

    Attributes:
        vector: (M,D), compared with whole images.
        local: (M,D), compared with regions.
        word: (M,W,D) or None.
        word_mask: (M,W) bool or None.
        exam: (M,) int64.
        side: (M,) int64, -1 for the exam as a whole.
        owner: (M,C) bool, the sites that the text was written of.
        key: (M,) int64; texts with the same key say the same, and negative keys are of one text alone.
        sets: (C,K) bool, the keys of each site's sentences.
    """

    vector: Tensor
    local: Tensor
    word: Tensor | None
    word_mask: Tensor | None
    exam: Tensor
    side: Tensor
    owner: Tensor
    key: Tensor
    sets: Tensor


def gather_sites(view_mask: Tensor, view_side: Sequence[int], by_side: bool) -> Sites:
    """Lay out the sites of a batch.

    Args:
        view_mask: (E,V) bool, the views that exist.
        view_side: side of each slot.
        by_side: sites are sides; otherwise exams.

    Raises:
        ValueError: if there is not a side for each slot.
    """
    exams, views = view_mask.shape
    if len(view_side) != views:
        raise ValueError(
            f"view_side has {len(view_side)} entries, but the batch has {views} views; expected one side per view"
        )
    sides = max(view_side) + 1 if by_side else 1
    slots = [[slot for slot in range(views) if not by_side or view_side[slot] == side] for side in range(sides)]
    most = max(map(len, slots))
    device = view_mask.device
    slot = torch.tensor([row + [0] * (most - len(row)) for row in slots], device=device)
    slot_mask = torch.tensor([[index < len(row) for index in range(most)] for row in slots], device=device)
    return Sites(
        exam=torch.arange(exams, device=device).repeat_interleave(sides),
        side=torch.arange(sides, device=device).repeat(exams),
        present=(view_mask[:, slot] & slot_mask).any(2).flatten(),
        slot=slot,
        slot_mask=slot_mask,
    )


def gather_texts(
    outputs: Mapping[str, Tensor], batch: Mapping[str, Any], sites: Sites, whole: bool, by_side: bool
) -> Texts:
    """Collect the texts of a batch.

    Args:
        outputs: ``sentence`` and ``sentence_local`` (E,N,D), ``sentence_mask`` (E,N); ``word_vector`` (E,N,W,D) and
            ``word_mask`` (E,N,W) if there; ``report_vector`` (E,D) for whole reports.
        batch: ``text_key`` (E,N) and, by side, ``sentence_side`` (E,N).
        sites: of the same batch.
        whole: a report is one text; otherwise each sentence is.
        by_side: sites are sides.

    Raises:
        ValueError: if something is missing.
    """
    mask = required(outputs, "sentence_mask", METHOD_HINT)
    place = mask.nonzero()
    exam = place[:, 0]
    side = torch.full_like(exam, -1)
    if by_side:
        side = required(batch, "sentence_side", "tell the side of each sentence, -1 for none, in TokenizeReportd")[mask]
    owner = (exam.unsqueeze(1) == sites.exam) & sites.present
    owner &= (side.unsqueeze(1) == sites.side) | (side < 0).unsqueeze(1)
    key = batch["text_key"][mask] if "text_key" in batch else torch.full_like(exam, -1)
    key = torch.where(key < 0, -1 - torch.arange(len(key), device=key.device), key)  # an unknown text equals no other
    local = required(outputs, "sentence_local", METHOD_HINT)
    word, word_mask = outputs.get("word_vector"), outputs.get("word_mask")
    sets = key_sets(key, owner)
    if not whole:
        vector = required(outputs, "sentence", METHOD_HINT)[mask]
        word = None if word is None else word[mask]
        word_mask = None if word_mask is None else word_mask[mask]
        return Texts(vector, local[mask], word, word_mask, exam, side, owner, key, sets)
    every = torch.arange(len(mask), device=mask.device)
    mean = (local * mask.unsqueeze(2)).sum(1)
    return Texts(
        vector=required(outputs, "report_vector", METHOD_HINT),
        local=mean / mean.norm(dim=1, keepdim=True).clamp(min=1e-8),
        word=None if word is None else word.flatten(1, 2),
        word_mask=None if word_mask is None else (word_mask & mask.unsqueeze(2)).flatten(1),
        exam=every,
        side=torch.full_like(every, -1),
        owner=(every.unsqueeze(1) == sites.exam) & sites.present & mask.any(1).unsqueeze(1),
        key=-1 - every,
        sets=sets,
    )
