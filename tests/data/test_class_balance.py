"""Class weights and balanced drawing: pencil values, reproducible draws, and refusals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset, Dataset

from common.data import BalancedSampler, CaseLoader, DatalistError, class_weights, write_datalist
from common.handlers import SeedEpoch
from common.losses import CrossEntropyLoss

META = {"name": "eyes", "task": "multiclass", "classes": ["healthy", "glaucoma"]}
NINE_TO_ONE = [0] * 9 + [1]


def items(labels: list[Any], prefix: str = "case") -> list[dict[str, Any]]:
    return [{"case_id": f"{prefix}{i}", "image": f"{prefix}{i}.png", "label": label} for i, label in enumerate(labels)]


@pytest.fixture
def datalist(tmp_path: Path) -> Path:
    sections = {"training": items(NINE_TO_ONE, "a"), "validation": items([0, 0, 1], "b"), "test": items([0], "c")}
    return write_datalist(tmp_path / "datalist.json", sections, META)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [10 / 18, 5.0]),
        ({"power": 0.5}, [(10 / 18) ** 0.5, 5.0**0.5]),
        ({"power": 0.0}, [1.0, 1.0]),
        ({"section": "validation"}, [0.75, 1.5]),
    ],
)
def test_weights(datalist: Path, options: dict[str, Any], expected: list[float]) -> None:
    assert class_weights(datalist, **options) == pytest.approx(expected)


def test_the_weighted_loss_counts_both_classes_alike(datalist: Path) -> None:
    """Nine cases that cost ln 2 each and one that costs 1: the mean over the classes, not over the cases."""
    logits = torch.zeros(10, 2)
    logits[9, 0] = torch.tensor(1.0).exp().sub(1).log()
    loss = CrossEntropyLoss(class_weights(datalist))({"logits": logits}, {"label": torch.tensor(NINE_TO_ONE)})
    assert loss["loss"].item() == pytest.approx((torch.tensor(2.0).log().item() + 1.0) / 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"section": "test"},
            "section 'test' .* has no case of glaucoma, so the class has no weight; split the data anew",
        ),
        ({"section": "trainng"}, "has no section 'trainng'; did you mean 'training'"),
    ],
)
def test_impossible_weights_are_refused(datalist: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DatalistError, match=message):
        class_weights(datalist, **options)


def test_cases_of_several_classes_are_refused(tmp_path: Path) -> None:
    meta = META | {"task": "multilabel"}
    path = write_datalist(tmp_path / "datalist.json", {"training": items([[0, 1], [1, 1]])}, meta)
    with pytest.raises(DatalistError, match=r"the label of case 'case0' is \[0, 1\], but balancing classes needs one"):
        class_weights(path)


def test_power_is_a_share(datalist: Path) -> None:
    for balance in (lambda: class_weights(datalist, power=2.0), lambda: BalancedSampler(Dataset(items([0])), 2.0)):
        with pytest.raises(ValueError, match=r"power is 2.0, expected 0 \(no balance\) to 1"):
            balance()


@pytest.mark.parametrize(("power", "share"), [(1.0, 0.5), (0.5, 0.25), (0.0, 0.1)])
def test_share_of_the_rare_class(power: float, share: float) -> None:
    """Nine to one in 4000 cases; at power 1/2 the odds are 3 to 1. Four standard deviations are 0.032."""
    labels = NINE_TO_ONE * 400
    drawn = Counter(labels[index] for index in BalancedSampler(Dataset(items(labels)), power))
    assert sum(drawn.values()) == 4000
    assert drawn[1] / 4000 == pytest.approx(share, abs=0.032)


def epochs(seed: int, first: int = 1, last: int = 3, disturbance: int = 0) -> dict[int, list[int]]:
    """Return the cases in the order in which they are delivered, by epoch."""
    torch.manual_seed(disturbance)
    dataset = CacheDataset([{"index": i, "label": int(i > 15)} for i in range(20)], progress=False)
    loader = CaseLoader(dataset, batch_size=4, sampler=BalancedSampler(dataset))
    seen: dict[int, list[int]] = {}
    engine = Engine(lambda engine, batch: seen.setdefault(engine.state.epoch, []).extend(batch["index"].tolist()))
    engine.state.rank = 0
    SeedEpoch(seed).attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: torch.rand(disturbance))
    engine.state.epoch, engine.state.iteration = first - 1, (first - 1) * 5
    engine.state.max_epochs, engine.state.epoch_length = last, 5
    engine.run(loader)
    return seen


def test_a_resumed_training_draws_the_same_cases() -> None:
    whole, resumed = epochs(7), epochs(7, first=2, disturbance=13)
    assert resumed == {epoch: whole[epoch] for epoch in (2, 3)}
    assert len({tuple(order) for order in whole.values()}) == 3, "every epoch draws anew"
    assert epochs(8)[1] != whole[1]
    assert all(len(order) == 20 for order in whole.values())


def test_items_without_a_label_are_refused() -> None:
    with pytest.raises(DatalistError, match="the dataset: the label of case 'case1' is None"):
        BalancedSampler(Dataset(items([0, None])))


def test_each_process_draws_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.data.class_balance.is_distributed", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 3)
    assert len(list(BalancedSampler(Dataset(items(NINE_TO_ONE))))) == 4
