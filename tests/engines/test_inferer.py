"""The right method of a network is called, also through DistributedDataParallel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from monai.inferers import Inferer
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from common.engines import DistributedExplain, ExplainInferer
from common.engines.inferer import inputs_of


class TwoMethods(nn.Module):
    """w · x by ``explain`` and w · x + 1 by ``other``."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def explain(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.weight * image}

    def other(self, image: Tensor) -> dict[str, Tensor]:
        return {"logits": self.weight * image + 1}

    def match(self, image: Tensor, token: Tensor) -> dict[str, Tensor]:
        return {"logits": self.weight * image - token}


@pytest.fixture
def process_group() -> Iterator[None]:
    """A group of one process, enough for DistributedDataParallel."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


CALLS: list[tuple[dict[str, Any], dict[str, Any], float]] = [
    ({}, {}, 6.0),
    ({"method": "other"}, {}, 7.0),
    ({}, {"method": "other"}, 7.0),
    ({"method": "other"}, {"method": "explain"}, 6.0),
]


@pytest.mark.parametrize(("options", "call", "expected"), CALLS)
def test_method_of_the_call_before_that_of_the_inferer(
    options: dict[str, Any], call: dict[str, Any], expected: float
) -> None:
    inferer = ExplainInferer(**options)
    assert isinstance(inferer, Inferer)
    assert inferer(torch.tensor(2.0), TwoMethods(), **call)["logits"].item() == expected


def test_a_method_may_take_more_than_the_image(process_group: None) -> None:
    batch = {"token": torch.tensor(5.0), "image": torch.tensor(2.0), "case_id": ["a"]}
    given = inputs_of(batch, ["image", "token"])
    network = TwoMethods()
    assert ExplainInferer("match")(given, network)["logits"].item() == 1.0
    wrapped = DistributedDataParallel(DistributedExplain(network))
    assert ExplainInferer("match")(given, wrapped)["logits"].item() == 1.0
    assert inputs_of(batch, ["image"]) is batch["image"]


def test_what_the_batch_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="the batch has no token, only image; the network's method takes image, token"):
        inputs_of({"image": torch.tensor(2.0)}, ["image", "token"])


def test_it_goes_through_the_wrapper_that_synchronises(process_group: None) -> None:
    """The same values, and the wrapper's own forward ran: a backward hook that only it prepares has seen gradients."""
    network = TwoMethods()
    wrapped = DistributedDataParallel(DistributedExplain(network))
    seen: list[float] = []

    def hook(state, bucket):  # without annotations: PyTorch compares them with the classes themselves
        seen.append(bucket.buffer().item())
        future: torch.futures.Future[Tensor] = torch.futures.Future()
        future.set_result(bucket.buffer() * 10)
        return future

    wrapped.register_comm_hook(None, hook)
    for options, call, expected in CALLS:
        assert ExplainInferer(**options)(torch.tensor(2.0), wrapped, **call)["logits"].item() == expected
    ExplainInferer("other")(torch.tensor(2.0), wrapped)["logits"].backward()
    assert seen == [2.0]
    assert network.weight.grad is not None
    assert network.weight.grad.item() == 20.0, "what the hook returned has become the gradient"
    network.weight.grad = None
    wrapped.module.network.explain(torch.tensor(2.0))["logits"].backward()
    assert seen == [2.0], "calling the inner network by-passes the synchronisation"


def test_parameters_and_state_are_the_networks_own() -> None:
    network = TwoMethods()
    assert list(DistributedExplain(network).parameters()) == [network.weight]
