"""A step on exams and reports: in chunks it is the step of the whole batch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.engines import ReportStep, StagedTrainer
from common.engines.report_step import joined_outputs
from common.losses import VWYLLoss
from common.types import Stage

EXAMS = 5


class SmallNetwork(nn.Module):
    """Two views, one side; as many words as the longest text of the batch has."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.image_encoder = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2), nn.BatchNorm2d(6), nn.Dropout(dropout))
        self.text_encoder = nn.Embedding(9, 6)
        self.unused = nn.Linear(2, 2)
        self.log_scale = nn.Parameter(torch.tensor(1.5))
        self.passes: list[int] = []

    def match(self, image: Tensor, token: Tensor, word: Tensor) -> dict[str, Tensor]:
        self.passes.append(len(image))
        region = self.image_encoder(image.flatten(0, 1)).unflatten(0, image.shape[:2])
        view = F.normalize(region.mean((3, 4)), dim=2)
        words = self.text_encoder(token)[:, :, : int(word.max()) + 1]
        there = (token > 0)[:, :, : words.shape[2]]
        sentence = F.normalize((words * there.unsqueeze(3)).sum(2), dim=2)
        views = image.flatten(2).any(2)
        return {
            "view_vector": view,
            "side_vector": F.normalize(view.sum(1, keepdim=True), dim=2),
            "region": F.normalize(region, dim=2),
            "region_mask": views[:, :, None, None].expand(*region.shape[:2], *region.shape[3:]),
            "view_mask": views,
            "sentence": sentence,
            "sentence_local": sentence,
            "sentence_mask": (token > 0).any(2),
            "word_vector": words,
            "word_mask": there,
            "scale_global": self.log_scale.exp(),
            "scale_local": self.log_scale.exp(),
            "sharpness": self.log_scale.exp(),
        }


def batch_of() -> dict[str, Any]:
    """Texts of the last exams have fewer words."""
    generator = torch.Generator().manual_seed(3)
    token = torch.randint(1, 9, (EXAMS, 2, 4), generator=generator)
    token[3:, :, 2:] = 0
    word = torch.arange(4).expand(EXAMS, 2, 4).masked_fill(token == 0, -1)
    return {
        "image": torch.rand(EXAMS, 2, 1, 9, 9, generator=generator),
        "token": token,
        "word": word,
        "text_key": torch.arange(2 * EXAMS).view(EXAMS, 2) % 7,
        "sentence_side": torch.zeros(EXAMS, 2, dtype=torch.int64),
    }


def trainer_of(network: nn.Module, chunk: int | None, **options: Any) -> StagedTrainer:
    parts = ["image_encoder", "text_encoder", "log_scale", "unused"]
    loss = VWYLLoss((0, 0), local="cosine", ranking_weight=0.5, view_weight=0.5)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    stage = Stage("pairs", 1, parts, optimizer, loss, method="match", step=ReportStep(chunk))
    trainer = StagedTrainer("cpu", 1, [{}], network, [stage], **options)
    trainer.enter(stage)
    return trainer


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_a_step_in_chunks_is_that_of_the_whole_batch(chunk):
    torch.manual_seed(0)
    networks, results = [SmallNetwork().eval()], []
    networks.append(copy.deepcopy(networks[0]))
    before = copy.deepcopy(networks[0].state_dict())
    for network, size in zip(networks, (None, chunk), strict=True):
        trainer = trainer_of(network, size, max_grad_norm=0.5)
        results.append(trainer.stage.step(trainer, batch_of()))
    assert networks[0].passes == [EXAMS]
    parts = [len(part) for part in torch.arange(EXAMS).split(chunk)]
    assert networks[1].passes == parts + parts
    assert results[0]["loss"] == pytest.approx(results[1]["loss"], rel=1e-6)
    assert set(results[0]["terms"]) == {"global", "local", "ranking", "view"}
    for name, value in results[0]["terms"].items():
        torch.testing.assert_close(value, results[1]["terms"][name])
    for name, value in networks[0].state_dict().items():
        torch.testing.assert_close(value, networks[1].state_dict()[name], msg=name, rtol=1e-5, atol=1e-7)
        learns = name.split(".")[0] != "unused" and not name.endswith(("running_mean", "running_var", "tracked"))
        assert torch.equal(value, before[name]) != learns, name


def test_dropout_is_the_same_in_both_passes_and_statistics_count_once():
    torch.manual_seed(0)
    network = SmallNetwork(dropout=0.5).train()
    plain, batch = copy.deepcopy(network), batch_of()
    trainer = trainer_of(network, 2)
    torch.manual_seed(5)
    trainer.stage.step(trainer, batch)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    parts = [plain.match(*(batch[name][i : i + 2] for name in ("image", "token", "word"))) for i in (0, 2, 4)]
    assert torch.equal(drawn, torch.rand(1)), "as many numbers are drawn as in one pass"
    loss = trainer.stage.loss.reduce(trainer.stage.loss.terms(joined_outputs(parts), batch))["loss"]
    loss.backward()
    torch.optim.SGD(plain.parameters(), 0.1).step()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, msg=name, rtol=1e-5, atol=1e-7)


def test_mixed_precision_and_the_trainer_take_the_same_step():
    torch.manual_seed(0)
    first = SmallNetwork()
    second = copy.deepcopy(first)
    outputs = [trainer_of(n, size, amp=True)._iteration(None, batch_of()) for n, size in ((first, 5), (second, 9))]
    assert outputs[0]["loss"] == outputs[1]["loss"]
    assert first.passes == second.passes == [EXAMS], "a chunk as large as the batch is one pass"
    torch.testing.assert_close(first.state_dict(), second.state_dict())
    chunked = SmallNetwork()
    result = trainer_of(chunked, 2, amp=True)._iteration(None, batch_of())
    assert result["loss"] > 0
    assert all(value.dtype == torch.float32 for value in result["terms"].values())


def test_joined_outputs_are_filled_up():
    parts = [{"a": torch.ones(2, 1, 3), "s": torch.tensor(2.0)}, {"a": torch.ones(1, 2, 2), "s": torch.tensor(2.0)}]
    joined = joined_outputs(parts)
    assert joined["a"].tolist() == [[[1, 1, 1], [0, 0, 0]], [[1, 1, 1], [0, 0, 0]], [[1, 1, 0], [1, 1, 0]]]
    assert joined["s"].item() == 2.0


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="chunk is 0, expected a positive number"):
        ReportStep(0)
    batch = batch_of()
    del batch["token"]
    trainer = trainer_of(SmallNetwork(), None)
    with pytest.raises(ValueError, match="the batch has no token, only image"):
        trainer.stage.step(trainer, batch)


def test_a_step_has_no_state():
    step = ReportStep(2)
    step.load_state_dict(step.state_dict())
    assert step.state_dict() == {}
