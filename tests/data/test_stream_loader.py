"""Two streams side by side: what is delivered, for how long, and what is not even loaded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from common.data import CaseLoader, StreamLoader


class Numbers(Dataset):
    """Cases with a number, which remember how often they were read."""

    def __init__(self, count: int) -> None:
        self.read = 0
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.read += 1
        return {"image": torch.tensor([index]), "case_id": f"case{index}"}


def streams(labelled: int = 3, unlabelled: int = 7, **options: Any) -> tuple[StreamLoader, Numbers, Numbers]:
    few, many = Numbers(labelled), Numbers(unlabelled)
    return StreamLoader(DataLoader(few, **options), DataLoader(many, batch_size=2)), few, many


def numbers(batch: dict[str, Any]) -> list[int]:
    return batch["image"].flatten().tolist()


def test_an_epoch_is_one_pass_of_the_unlabelled_stream():
    loader, _, _ = streams()
    batches = list(loader)
    assert len(loader) == len(batches) == 4
    assert [numbers(batch["unlabelled"]) for batch in batches] == [[0, 1], [2, 3], [4, 5], [6]]
    assert [numbers(batch) for batch in batches] == [[0], [1], [2], [0]], "the labelled stream begins anew"


def test_both_streams_begin_anew_with_each_epoch():
    loader, _, _ = streams()
    assert [numbers(batch) for batch in loader] == [numbers(batch) for batch in loader]


def test_a_stream_that_is_not_selected_is_not_loaded():
    loader, few, many = streams()
    loader.select(["labelled"])
    assert [numbers(batch) for batch in loader] == [[0], [1], [2], [0]]
    assert all("unlabelled" not in batch for batch in loader)
    assert many.read == 0
    loader, few, many = streams()
    loader.select(["unlabelled"])
    assert [numbers(batch) for batch in loader] == [[0, 1], [2, 3], [4, 5], [6]]
    assert few.read == 0


def test_a_shuffled_labelled_stream_is_shuffled_at_every_pass():
    torch.manual_seed(0)
    loader, _, _ = streams(labelled=4, unlabelled=24, shuffle=True)
    order = [numbers(batch)[0] for batch in loader]
    passes = [order[start : start + 4] for start in (0, 4, 8)]
    assert all(sorted(one) == [0, 1, 2, 3] for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_samplers_of_several_processes_are_told_the_epoch():
    few, many = Numbers(4), Numbers(4)
    samplers = [DistributedSampler(data, num_replicas=2, rank=0) for data in (few, many)]
    loader = StreamLoader(DataLoader(few, sampler=samplers[0]), DataLoader(many, sampler=samplers[1]))
    loader.set_epoch(5)
    assert [sampler.epoch for sampler in samplers] == [5, 5]


def test_skipped_cases_of_both_streams_are_known():
    loader = StreamLoader(*(CaseLoader(Numbers(2), on_error="skip") for _ in range(2)))
    loader.labelled.failures.append(ValueError("first"))
    loader.unlabelled.failures.append(ValueError("second"))
    assert [str(failure) for failure in loader.failures] == ["first", "second"]


@pytest.mark.parametrize(
    ("names", "message"), [([], "no stream is selected"), (["labeled"], "stream is 'labeled'.*did you mean 'labelled'")]
)
def test_refuses(names, message):
    with pytest.raises(ValueError, match=message):
        streams()[0].select(names)


def test_a_labelled_stream_without_a_whole_batch_is_refused():
    loader, _, _ = streams(labelled=3, batch_size=4, drop_last=True)
    with pytest.raises(ValueError, match="the labelled stream has no batch"):
        next(iter(loader))
