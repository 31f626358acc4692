"""Pairs of images that have a label in common.

Source: Wang et al., "Cross- and Intra-image Prototypical Learning for Multi-label Disease Diagnosis and
Interpretation", IEEE TMI 2025.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from common.data.errors import case_error_in
from common.data.label_balance import case_weights, label_members, share_of
from common.data.stream_loader import StreamLoader
from common.utils.choices import check_choice

__all__ = ["PairDataset", "PairLoader", "PairSampler"]


class PairDataset(Dataset):
    """Deliver a case together with a partner, which is under ``partner``.

    Args:
        dataset: a MONAI dataset; its items are dictionaries.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: tuple[int, int]) -> dict[str, Any]:
        """Return the pair of two cases, by their numbers."""
        first, second = (self._case(number) for number in index)
        return {**first, "partner": second}

    def _case(self, number: int) -> dict[str, Any]:
        """Return a case; should it be bad, its name goes into the error, since a loader knows pairs only."""
        try:
            return self.dataset[number]
        except Exception as error:
            found = case_error_in(error)
            if found is None:
                raise
            raise found.named(str(self.dataset.data[number].get("case_id", ""))) from error  # type: ignore[attr-defined]


class PairSampler(Sampler[tuple[int, int]]):
    """Draw pairs of cases for a :class:`PairDataset`: every pair has at least one class in common.

    The first is drawn with replacement, as by :class:`common.data.LabelSampler`. Then one of its classes is drawn, the
    background for a case without a disease, and one of the other cases of that class, all alike. Classes that no other
    case has are left out of the draw; a case all of whose classes are so rare is its own partner: its two members get
    random transforms of their own, and it has all its labels in common with itself.

    An epoch has as many pairs as cases; where several processes train, each draws its share. The draw comes from
    PyTorch's global generator, which :class:`common.handlers.SeedEpoch` seeds for every epoch and process, and does
    not depend on the number of workers.

    Args:
        dataset: a MONAI dataset, its ``data`` being items with a ``label`` (C-1,) of 0 and 1.
        weights: of the classes (C,), see :func:`common.data.label_weights`; None draws all cases equally often.
        self_pairs: draw the partner from all cases of the class, the first one itself included (published).

    Raises:
        DatalistError: if an item has no such label.
        ValueError: if there are not as many weights as classes.
    """

    def __init__(self, dataset: Dataset, weights: Sequence[float] | None = None, self_pairs: bool = False) -> None:
        self.member = label_members(dataset.data)  # type: ignore[attr-defined]  # MONAI's datasets have it
        self.weights = case_weights(self.member, [1.0] * self.member.shape[1] if weights is None else weights)
        self.self_pairs = self_pairs
        self.count = share_of(len(self.member))
        self._cases = [torch.nonzero(column)[:, 0] for column in self.member.T]
        fewest = 1 if self_pairs else 2
        self._paired = torch.tensor([len(cases) >= fewest for cases in self._cases])

    def __len__(self) -> int:
        """Return the number of pairs of an epoch."""
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the pairs of an epoch, two numbers of cases each."""
        for first in torch.multinomial(self.weights, self.count, replacement=True).tolist():
            yield first, self._partner(first)

    def _partner(self, first: int) -> int:
        classes = torch.nonzero(self.member[first] & self._paired)[:, 0]
        if len(classes) == 0:
            return first
        cases = self._cases[int(_drawn(classes))]
        if not self.self_pairs:
            cases = cases[cases != first]
        return int(_drawn(cases))


class PairLoader(StreamLoader):
    """Deliver batches of pairs to stages whose step asks for "pairs", batches of single cases to all others.

    An epoch is one pass of the pairs, whatever is delivered, so that all stages of a training count their epochs alike.

    Args:
        singles: loader of single cases.
        pairs: loader of a :class:`PairDataset` with a :class:`PairSampler`.
    """

    def __init__(self, singles: DataLoader, pairs: DataLoader) -> None:
        super().__init__(labelled=singles, unlabelled=pairs)

    def select(self, streams: Collection[str]) -> None:
        """Say what to deliver.

        Args:
            streams: "labelled", the single cases, or "pairs".

        Raises:
            ValueError: if there is none, or an unknown one.
        """
        for name in streams:
            check_choice("stream", name, ("labelled", "pairs"))
        super().select(["unlabelled" if name == "pairs" else name for name in streams])


def _drawn(values: Tensor) -> Tensor:
    """Return one of the values (N,), all alike."""
    return values[torch.randint(len(values), ())]
