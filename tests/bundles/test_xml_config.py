"""What single knobs of the xML bundle's configurations come to, without running them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from common.utils.bundle import Bundle
from tests.bundles.commands import ROOT

BUNDLE = Bundle(ROOT / "bundles" / "xml_explainer_classification")


def parser(*names: str, **changes: Any) -> ConfigParser:
    result = BUNDLE.parser(*names)
    result.update(changes)
    return result


@pytest.mark.parametrize("overlays", [(), ("demo",), ("plain",), ("published",), ("evaluate",), ("multi_gpu_train",)])
@pytest.mark.parametrize(
    ("device", "amp"),
    [("cpu", False), ("cuda", True), ("cuda:1", True), (torch.device("cpu"), False), (torch.device("cuda:1"), True)],
)
def test_a_device_may_be_a_text(overlays: tuple[str, ...], device: Any, amp: bool) -> None:
    """As ``--device cpu`` gives it; mixed precision follows it."""
    config = parser("train", *overlays, device=device)
    assert config.get_parsed_content("amp") is amp
    if overlays == ("multi_gpu_train",):
        assert config.get_parsed_content("network::device_ids") == ([device] if amp else None)


@pytest.mark.parametrize("name", ["train", "inference", "explain"])
def test_the_network_goes_to_a_device_named_by_a_text(name: str) -> None:
    network = parser(name, device="meta", classes=["no", "yes"], network_def=torch.nn.Linear(1, 1)).get_parsed_content(
        "network"
    )
    assert next(network.parameters()).device.type == "meta"


@pytest.mark.parametrize(("seed", "epoch"), [(0, 1), (0, 2), (5, 1), (5, 2)])
def test_several_processes_share_an_order_that_seed_and_epoch_decide(seed: int, epoch: int) -> None:
    """The same cases as PyTorch's permutation under seed + epoch, dealt out in turn."""
    shares = []
    for rank in range(2):
        changes = {"train::dataset": list(range(10)), "train::sampler::num_replicas": 2, "train::sampler::rank": rank}
        sampler = parser("train", "multi_gpu_train", seed=seed, **changes).get_parsed_content("train::sampler")
        sampler.set_epoch(epoch)  # as MONAI's trainer does when an epoch starts
        shares.append(list(sampler))
    order = torch.randperm(10, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    assert shares == [order[0::2], order[1::2]]
