"""Two streams of batches, one labelled, one not necessarily, side by side."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from common.utils.choices import check_choice

__all__ = ["STREAMS", "StreamLoader"]

STREAMS = ("labelled", "unlabelled")


class StreamLoader:
    """Deliver labelled batches that hold an unlabelled batch under "unlabelled", or batches of one stream alone.

    An epoch is one pass of the unlabelled stream, whichever streams are delivered, so that all stages of a training
    count their epochs alike. The labelled stream begins anew as often as that takes; both begin anew with each epoch.

    Args:
        labelled: loader of the labelled cases.
        unlabelled: loader of all cases that a pseudo label can be made for, the labelled ones as a rule among them.

    Attributes:
        streams: what is delivered from the next epoch on; a stream that is not is not loaded either.
    """

    def __init__(self, labelled: DataLoader, unlabelled: DataLoader) -> None:
        self.labelled = labelled
        self.unlabelled = unlabelled
        self.streams: tuple[str, ...] = STREAMS

    @property
    def failures(self) -> list[Exception]:
        """The bad cases that the loaders skipped."""
        return [failure for loader in (self.labelled, self.unlabelled) for failure in getattr(loader, "failures", [])]

    def select(self, streams: Collection[str]) -> None:
        """Say what to deliver.

        Args:
            streams: "labelled", "unlabelled" or both.

        Raises:
            ValueError: if there is none, or an unknown one.
        """
        for name in streams:
            check_choice("stream", name, STREAMS)
        if not streams:
            raise ValueError(f"no stream is selected, expected some of {', '.join(STREAMS)}")
        self.streams = tuple(streams)

    def set_epoch(self, epoch: int) -> None:
        """Tell the samplers of distributed training which epoch it is."""
        for loader in (self.labelled, self.unlabelled):
            sampler = getattr(loader, "sampler", None)
            if isinstance(sampler, DistributedSampler):
                sampler.set_epoch(epoch)

    def __len__(self) -> int:
        """Return the number of batches of the unlabelled stream."""
        return len(self.unlabelled)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches of an epoch."""
        if self.streams == ("unlabelled",):
            yield from self.unlabelled
            return
        labelled = _endless(self.labelled)
        if self.streams == ("labelled",):
            for _ in range(len(self)):
                yield next(labelled)
            return
        for unlabelled in self.unlabelled:
            yield {**next(labelled), "unlabelled": unlabelled}


def _endless(loader: DataLoader) -> Iterator[dict[str, Any]]:
    """Yield the batches of a loader again and again."""
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise ValueError("the labelled stream has no batch; its loader drops incomplete ones: lower batch_size")
