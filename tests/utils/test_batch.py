"""Batches on their way to a device."""

from __future__ import annotations

import torch
from monai.data import MetaTensor

from common.utils.batch import to_device


def test_tensors_move_and_everything_else_is_passed_on() -> None:
    names, nested = ["a", "b"], {"image": torch.zeros(1), "case_id": ["c"]}
    batch = {"image": torch.rand(2, 3), "label": torch.tensor([0, 1]), "case_id": names, "nested": nested, "none": None}
    moved = to_device(batch, torch.device("meta"))
    assert list(moved) == list(batch)
    assert (moved["image"].device.type, moved["image"].shape, moved["image"].dtype) == ("meta", (2, 3), torch.float32)
    assert moved["label"].dtype == torch.int64
    assert moved["case_id"] is names
    assert moved["nested"]["image"].device.type == "meta", "a batch within the batch moves along"
    assert moved["nested"]["case_id"] is nested["case_id"]
    assert nested["image"].device.type == "cpu"
    assert moved["none"] is None
    assert batch["image"].device.type == "cpu", "the batch given is left as it is"


def test_monais_tensors_become_plain_ones_with_the_same_values() -> None:
    values = torch.rand(1, 4, 4)
    given = MetaTensor(values, affine=torch.eye(4), meta={"filename_or_obj": "a.png"})
    plain = to_device({"image": given}, torch.device("cpu"))["image"]
    assert type(plain) is torch.Tensor
    assert torch.equal(plain, values)
    assert plain.data_ptr() == values.data_ptr(), "nothing is copied on the way to the same device"


def test_an_empty_batch() -> None:
    assert to_device({}, torch.device("cpu")) == {}
