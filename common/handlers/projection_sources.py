"""What a projection has to know of its sources, put together from all processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from common.data.placement import Placement
from common.explain.projection import Assignment, Candidates, direct_distance, nearest_by_key
from common.layers import PrototypeLayer
from common.utils.distributed import gather

PLACE_NUMBERS = 7  # of a placement: rows and columns, the crop's four, flipped or not


class Sources(NamedTuple):
    """What the prototypes become.

    Attributes:
        case: number of the case (P,), int64.
        cell: place on its feature map, row · w + column (P,), int64.
        shared: whether another prototype has the same source, for want of sources (P,), bool.
        vector: copies of the features there (P,D).
    """

    case: Tensor
    cell: Tensor
    shared: Tensor
    vector: Tensor


class SourceMaps:
    """Similarity of each new prototype to its own source image, and where that image lies in its file.

    Args:
        sources: what the prototypes become.
        layer: the prototype layer, whose form of similarity counts.
    """

    def __init__(self, sources: Sources, layer: PrototypeLayer) -> None:
        self.sources = sources
        self.layer = layer
        self._map: Tensor | None = None
        self._place = torch.zeros(len(sources.case), PLACE_NUMBERS, dtype=torch.int64)
        self._seen = torch.zeros(len(sources.case), dtype=torch.bool)

    def add(self, feature: Tensor, batch: Mapping[Any, Any], number: Tensor) -> None:
        """Look for the sources in a batch.

        Args:
            feature: feature maps (B,D,h,w).
            batch: with what :meth:`common.data.Placement.of` reads, and "image_size".
            number: of each case (B,), int64.

        Raises:
            ValueError: if the maps of two batches differ in size.
        """
        if self._map is None:
            self._map = torch.zeros(len(self._seen), *feature.shape[2:])
        if self._map.shape[1:] != feature.shape[2:]:
            raise ValueError(
                f"feature maps of {tuple(self._map.shape[1:])} and of {tuple(feature.shape[2:])} places, expected all "
                "of one size; resize the images to one"
            )
        matches = (self.sources.case[:, None] == number.cpu()[None]) & ~self._seen[:, None]
        for index in torch.nonzero(matches.any(0))[:, 0].tolist():
            which = torch.nonzero(matches[:, index])[:, 0]
            vector = self.sources.vector[which].to(feature)[:, None, None]
            distance = direct_distance(feature[index].movedim(0, -1), vector, self.layer.similarity)
            self._map[which] = self.layer.similarity_of(distance).cpu()
            self._place[which] = torch.tensor(_numbers_of(_placement(batch, index)))
            self._seen[which] = True

    def result(self, device: torch.device) -> tuple[Tensor, list[Placement]]:
        """Return the maps (P,h,w) and the placements, whichever process has found them."""
        assert self._map is not None, "a projection has at least one batch"
        maps, places = (from_owner(values, self._seen, device) for values in (self._map, self._place))
        return maps, [
            Placement((rows, columns), (x0, y0, x1, y1), bool(flipped))
            for rows, columns, x0, y0, x1, y1, flipped in places.tolist()
        ]


def source_keys(items: Sequence[Mapping[str, Any]], unique: str) -> Tensor:
    """Number what is to become a prototype only once.

    Args:
        items: the cases (N).
        unique: "patient", where a case without patient and group stands alone, or else every case by itself.

    Returns:
        Keys (N,), int64.
    """
    if unique != "patient":
        return torch.arange(len(items))
    known: dict[tuple[str, Any], int] = {}
    names = (
        next((key, item[key]) for key in ("patient_id", "group", "case_id") if item.get(key) is not None)
        for item in items
    )
    return torch.tensor([known.setdefault(name, len(known)) for name in names])


def over_processes(own: Candidates, key: Tensor, count: int, device: torch.device) -> Candidates:
    """Join the candidates of all processes, without their vectors.

    Args:
        own: what this process has found (P,K).
        key: of each case (N,), int64.
        count: candidates to keep.
        device: that the processes exchange tensors on.
    """
    distance, case, cell = (gather(part.T.contiguous().to(device)).T.cpu() for part in own[:3])
    return nearest_by_key([Candidates(distance, case, cell, distance.new_zeros(*distance.shape, 0))], key, count)


def chosen_sources(every: Candidates, own: Candidates, assignment: Assignment, device: torch.device) -> Sources:
    """Return what the prototypes become; each vector is that of a process which has seen the case.

    Args:
        every: the candidates of all processes (P,K).
        own: those of this process, with vectors.
        assignment: which of ``every`` each prototype becomes.
        device: that the processes exchange tensors on.
    """
    rows = torch.arange(len(assignment.column))
    case, cell = every.case[rows, assignment.column], every.cell[rows, assignment.column]
    here = own.case == case[:, None]
    vector = own.vector[rows, here.int().argmax(1)]
    return Sources(case, cell, assignment.shared, from_owner(vector, here.any(1), device))


def from_owner(values: Tensor, have: Tensor, device: torch.device) -> Tensor:
    """Return of each row what the first process has that has it.

    Args:
        values: (P,...), of no meaning where this process does not have the row.
        have: whether it does (P,), bool.
        device: that the processes exchange tensors on.
    """
    every = gather(values[None].to(device)).cpu()
    owner = gather(have[None].int().to(device)).cpu().argmax(0)
    return every[owner, torch.arange(len(have))]


def in_order(values: Tensor, number: Tensor, device: torch.device) -> Tensor:
    """Return what all processes have of each case, once and in the order of the cases.

    Args:
        values: of the cases that this process has seen (B,...).
        number: of these cases (B,), int64.
        device: that the processes exchange tensors on.
    """
    every, numbers = gather(values.to(device)).cpu(), gather(number.to(device)).cpu()
    order = numbers.argsort(stable=True)
    numbers = numbers[order]
    first = torch.cat([torch.ones(1, dtype=torch.bool), numbers[1:] != numbers[:-1]])
    return every[order[first]]


def _placement(batch: Mapping[Any, Any], index: int) -> Placement:
    if batch.get("source_size") is None:
        rows, columns = batch["image_size"]
        return Placement((rows, columns), (0, 0, columns, rows))
    return Placement.of(batch, index)


def _numbers_of(placement: Placement) -> list[int]:
    return [*placement.source_size, *placement.crop, int(placement.flipped)]
