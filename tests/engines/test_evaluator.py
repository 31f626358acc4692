"""What an evaluation leaves in the engine's state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, MetaTensor
from monai.inferers import SimpleInferer
from torch import Tensor, nn

from common.engines import ExplainEvaluator
from common.losses import ExplainerClassifierLoss
from common.types import StagedLoss
from tests.training_setup import TinyNet, items


class Recorder:
    """Keep output and batch of every iteration."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []
        self.batches: list[dict[str, Any]] = []

    def attach(self, engine: Any) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        self.outputs.append(engine.state.output)
        self.batches.append(engine.state.batch)


def evaluate(
    network: nn.Module, data: list[dict[str, Any]], method: str | None = None, **options: Any
) -> tuple[Recorder, ExplainEvaluator]:
    recorder = Recorder()
    loader = DataLoader(data, batch_size=4)
    evaluator = ExplainEvaluator("cpu", loader, network, val_handlers=[recorder], **options)
    evaluator.method = method
    evaluator.run()
    return recorder, evaluator


def together(data: list[dict[str, Any]]) -> Tensor:
    return torch.stack([item["image"] for item in data])


def test_outputs_are_those_of_the_network_in_evaluation_mode() -> None:
    network, data = TinyNet().train(), items(10, seed=1)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    recorder, _ = evaluate(network, data)
    assert [len(output["logits"]) for output in recorder.outputs] == [4, 4, 2]
    expected = network.eval().explain(together(data))
    for name, value in expected.items():
        joined = torch.cat([output[name] for output in recorder.outputs])
        torch.testing.assert_close(joined, value.detach())
        assert not joined.requires_grad
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items()), "buffers included"


def test_terms_are_those_of_the_loss() -> None:
    network, data, loss = TinyNet(), items(10, seed=1), ExplainerClassifierLoss(alpha=0.7)
    recorder, evaluator = evaluate(network, data, loss=loss)
    protocol: StagedLoss = loss
    assert evaluator.loss is protocol
    label = {"label": torch.tensor([item["label"] for item in data])}
    expected = loss.terms(network.eval().explain(together(data)), label)
    for name, value in expected.items():
        torch.testing.assert_close(torch.cat([o["terms"][name] for o in recorder.outputs]), value.detach())


def test_unlabelled_data_have_no_terms() -> None:
    data = [{"image": item["image"], "case_id": item["case_id"]} for item in items(3, seed=1)]
    recorder, _ = evaluate(TinyNet(), data, loss=ExplainerClassifierLoss(alpha=0.7))
    assert set(recorder.outputs[0]) == {"logits", "probability", "explanation"}
    assert recorder.batches[0]["case_id"] == ["case0", "case1", "case2"]


def test_the_method_of_a_stage_is_called() -> None:
    network, data = TinyNet(), items(4, seed=1)
    recorder, _ = evaluate(network, data, method="explain_constant")
    assert torch.equal(recorder.outputs[0]["explanation"], torch.full((4, 1, 8, 8), 0.9))
    recorder, _ = evaluate(network, data)
    assert recorder.outputs[0]["explanation"].std() > 0


def test_a_network_that_returns_a_tensor() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    data = items(3, seed=1)
    recorder, _ = evaluate(network, data, inferer=SimpleInferer())
    assert set(recorder.outputs[0]) == {"pred"}
    torch.testing.assert_close(recorder.outputs[0]["pred"], network(together(data)).detach())


def test_mixed_precision_computes_roughly_and_answers_in_float32() -> None:
    network, data = TinyNet(), items(4, seed=1)
    plain, _ = evaluate(network, data)
    mixed, evaluator = evaluate(network, data, amp=True)
    assert evaluator.autocast_dtype == torch.bfloat16
    assert {value.dtype for value in mixed.outputs[0].values()} == {torch.float32}
    difference = (plain.outputs[0]["logits"] - mixed.outputs[0]["logits"]).abs().max()
    assert 0 < difference < 0.1


def test_the_batch_is_plain_tensors_and_whole() -> None:
    data = [{**item, "image": MetaTensor(item["image"])} for item in items(2, seed=1)]
    recorder, _ = evaluate(TinyNet(), data)
    batch = recorder.batches[0]
    assert set(data[0]) <= set(batch)
    assert type(batch["image"]) is torch.Tensor
    assert torch.equal(batch["image"], together(data).as_tensor())


@pytest.mark.parametrize("epoch", [1, 4])
def test_it_knows_the_trainers_epoch(epoch: int) -> None:
    """How handlers tell whether the latest metrics belong to this epoch."""
    evaluator = ExplainEvaluator("cpu", DataLoader(items(2, seed=1)), TinyNet())
    evaluator.run(global_epoch=epoch)
    assert evaluator.state.epoch == epoch
