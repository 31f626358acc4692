"""Pairs: a class in common always, rare classes, reproducible draws, workers, and the loader of both kinds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import Dataset
from monai.transforms import Compose, RandScaleIntensityd
from torch.utils.data import SequentialSampler

from common.data import AffineViewd, CaseError, CaseLoader, PairDataset, PairLoader, PairSampler, TwoViewsd

#: Two cases of disease 0, one of which has disease 1 too, which is rare; one of disease 2 alone; two of none.
LABELS = [[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]


def items(labels: Any = LABELS) -> list[dict[str, Any]]:
    return [
        {"case_id": f"case{i}", "image": torch.full((1, 4, 4), float(i)), "label": torch.tensor(label).float().numpy()}
        for i, label in enumerate(labels)
    ]


def drawn(sampler: PairSampler, epochs: int = 40) -> Counter:
    return Counter(pair for _ in range(epochs) for pair in sampler)


def test_every_possible_pair_and_no_other():
    """The rare disease pairs nobody: its case is paired by its other one. The loner is its own partner."""
    assert set(drawn(PairSampler(Dataset(items())))) == {(0, 1), (1, 0), (2, 2), (3, 4), (4, 3)}


def test_published_pairs_may_be_one_case_twice():
    pairs = set(drawn(PairSampler(Dataset(items()), self_pairs=True)))
    assert pairs == {(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (3, 3), (3, 4), (4, 3), (4, 4)}


def test_the_first_is_drawn_by_weight_and_the_class_of_the_pair_uniformly():
    labels = [[1, 1]] * 2 + [[1, 0]] * 20 + [[0, 0]] * 2
    pairs = drawn(PairSampler(Dataset(items(labels)), [10.0, 10.0, 10.0]), 60)
    assert sum(pairs.values()) == 60 * 24
    assert sum(count for (first, _), count in pairs.items() if first < 2) == pytest.approx(120, abs=40)
    partners = Counter(dict.fromkeys(range(24), 0))
    for (first, second), count in pairs.items():
        partners[second] += count if first == 0 else 0
    of_both = partners[1] / partners.total()  # by disease 1 always, by disease 0 once in 21
    assert of_both == pytest.approx(0.5 + 0.5 / 21, abs=0.2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=8), st.booleans())
def test_a_pair_has_a_class_in_common_and_two_cases_where_there_are(labels, self_pairs):
    sampler = PairSampler(Dataset(items(labels)), self_pairs=self_pairs)
    classes = [{i for i, has in enumerate(label) if has} or {"background"} for label in labels]
    for first, second in sampler:
        assert classes[first] & classes[second]
        others = any(classes[first] & classes[i] for i in range(len(labels)) if i != first)
        assert self_pairs or (first != second) == others


def test_the_draw_depends_on_the_seed_alone_not_on_the_workers():
    batches = []
    for workers in (0, 2):
        torch.manual_seed(5)
        dataset = Dataset(items())
        loader = CaseLoader(PairDataset(dataset), sampler=PairSampler(dataset), batch_size=2, num_workers=workers)
        batches.append([(batch["case_id"], batch["partner"]["case_id"]) for batch in loader])
    assert batches[0] == batches[1]
    assert len(batches[0]) == 3


def test_a_batch_of_pairs():
    dataset = Dataset(items())
    loader = CaseLoader(PairDataset(dataset), sampler=PairSampler(dataset), batch_size=5)
    (batch,) = loader
    assert len(PairDataset(dataset)) == len(PairSampler(dataset)) == 5
    assert batch["image"].shape == batch["partner"]["image"].shape == (5, 1, 4, 4)
    assert batch["label"].shape == batch["partner"]["label"].shape == (5, 3)
    numbers = [[int(half["image"][i].mean()) for i in range(5)] for half in (batch, batch["partner"])]
    assert batch["case_id"] == [f"case{number}" for number in numbers[0]]
    assert batch["partner"]["case_id"] == [f"case{number}" for number in numbers[1]]


def test_a_bad_case_is_named_and_its_pair_can_be_skipped():
    def load(item: dict[str, Any]) -> dict[str, Any]:
        if item["case_id"] == "case1":
            raise CaseError("b.png", "it is empty", "Copy it again")
        return item

    dataset = Dataset(items(), load)
    pairs = [(0, 1), (3, 4)]
    with pytest.raises(CaseError, match=r"case 'case1' \(b\.png\): it is empty"):
        list(CaseLoader(PairDataset(dataset), sampler=pairs))
    loader = CaseLoader(PairDataset(dataset), sampler=pairs, on_error="skip")
    assert [batch["case_id"] for batch in loader] == [["case3"]]
    assert [error.case_id for error in loader.failures] == ["case1"]


def test_single_cases_and_pairs_by_turns():
    dataset = Dataset(items())
    singles = CaseLoader(dataset, sampler=SequentialSampler(dataset), batch_size=3)
    pairs = CaseLoader(PairDataset(dataset), sampler=PairSampler(dataset), batch_size=2)
    loader = PairLoader(singles, pairs)
    loader.select(["pairs"])
    assert ["partner" in batch for batch in loader] == [True] * 3
    loader.select(("labelled",))
    first, second = ["case0", "case1", "case2"], ["case3", "case4"]
    assert [batch["case_id"] for batch in loader] == [first, second, first], "as many batches as there are of pairs"
    assert len(loader) == 3
    with pytest.raises(ValueError, match="stream is 'unlabelled', expected one of labelled, pairs"):
        loader.select(["unlabelled"])


def test_two_views_differ_by_chance_and_by_nothing_else():
    view = TwoViewsd("image", [RandScaleIntensityd("image", factors=0.5, prob=1.0)])
    item = {"image": torch.rand(1, 4, 4), "case_id": "a"}
    views = view.set_random_state(3)(item)
    assert views["case_id"] == "a"
    shares = [views[name] / item["image"] for name in ("image", "original")]
    assert all(share.std() < 1e-5 for share in shares)
    assert abs(shares[0].mean() - shares[1].mean()) > 1e-3
    again = view.set_random_state(3)(item)
    assert all(torch.equal(again[name], views[name]) for name in ("image", "original"))


def test_two_views_of_a_moved_image():
    """The second view is made of the image before the movement."""
    transforms = Compose(
        [AffineViewd("image"), TwoViewsd("image", [RandScaleIntensityd("image", factors=0.1, prob=0.0)])]
    )
    transforms.set_random_state(0)
    image = torch.rand(1, 8, 8)
    views = transforms({"image": image})
    assert torch.equal(views["original"], image)
    assert not torch.equal(views["image"], image)
    assert views["affine"].shape == (2, 3)
