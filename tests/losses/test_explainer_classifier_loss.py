"""The joint loss: torch's weighted cross entropy, the golden sums, and one quantity for any batching."""

import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor

from common.losses import ExplainerClassifierLoss, ExplanationLoss

WEIGHTS = [0.5, 2.0, 3.0]


@pytest.fixture
def outputs(golden_map) -> dict[str, Tensor]:
    return {"logits": torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5], [-3.0, 1.0, 0.0]]), "explanation": golden_map}


@pytest.fixture
def batch(golden_mask) -> dict[str, Tensor]:
    return {"label": torch.tensor([0, 2, 1]), "mask": golden_mask}


@pytest.mark.parametrize("weights", [None, WEIGHTS, torch.tensor(WEIGHTS)])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.9, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_equals_torch_and_the_explanation_loss(outputs, batch, weights, alpha, gamma):
    losses = ExplainerClassifierLoss(alpha, 0.9, gamma, weights)(outputs, batch)
    class_weights = None if weights is None else torch.tensor(WEIGHTS)
    classification = F.cross_entropy(outputs["logits"], batch["label"], weight=class_weights)
    explanation = ExplanationLoss(0.9, gamma)(outputs["explanation"], batch["mask"])
    torch.testing.assert_close(losses["classification"], classification)
    torch.testing.assert_close(losses["explanation"], explanation)
    torch.testing.assert_close(losses["loss"], alpha * classification + (1 - alpha) * explanation)
    expected = {"loss", "classification", "explanation", "sparsity", "contiguity"} | ({"roi"} if gamma else set())
    assert set(losses) == expected
    assert all(value.shape == () for value in losses.values())


def test_pencil_value():
    """Two classes at equal logits cost log 2 each, a constant map of 0.5 costs 0.45."""
    outputs = {"logits": torch.zeros(2, 2), "explanation": torch.full((2, 1, 4, 4), 0.5)}
    losses = ExplainerClassifierLoss(0.75, class_weights=[1.0, 5.0])(outputs, {"label": torch.tensor([0, 1])})
    assert losses["loss"].item() == pytest.approx(0.75 * math.log(2) + 0.25 * 0.45, rel=1e-6)
    assert losses["sparsity"].item() == 0.5
    assert losses["contiguity"].item() == 0.0


@pytest.mark.parametrize(("alpha", "expected"), [(0.9, 0.787250), (0.25, 1.325007)])
def test_golden_totals(alpha, expected):
    """The reference's joint step: cross entropy .704519 and hybrid loss 1.531836."""
    terms = {
        "classification": torch.tensor([0.704519, 0.704519]),
        "class_weight": torch.ones(2),
        "sparsity": torch.tensor([0.5, 0.5]),
        "contiguity": torch.tensor([0.5, 0.5]),
        "roi": torch.tensor([1.031836, 1.031836]),
    }
    losses = ExplainerClassifierLoss(alpha, beta=0.9, gamma=1.0).reduce(terms)
    assert losses["explanation"].item() == pytest.approx(1.531836, abs=1e-6)
    assert losses["loss"].item() == pytest.approx(expected, abs=1e-6)


def test_terms_are_per_sample(outputs, batch):
    terms = ExplainerClassifierLoss(0.9, gamma=1.0, class_weights=WEIGHTS).terms(outputs, batch)
    cross_entropy = -outputs["logits"].log_softmax(1)[torch.arange(3), batch["label"]]
    torch.testing.assert_close(terms["class_weight"], torch.tensor([0.5, 3.0, 2.0]))
    torch.testing.assert_close(terms["classification"], cross_entropy * torch.tensor([0.5, 3.0, 2.0]))
    torch.testing.assert_close(terms["roi"], torch.tensor([0.476186633, 0.504679143, 0.0]))
    assert list(terms) == ["classification", "class_weight", "sparsity", "contiguity", "roi"]


@given(seed=st.integers(0, 2**16), cut=st.integers(1, 6), gamma=st.sampled_from([0.0, 0.5]))
@settings(max_examples=20, deadline=None)
def test_batches_concatenated_give_the_loss_of_all_at_once(seed, cut, gamma):
    torch.manual_seed(seed)
    outputs = {
        "logits": torch.randn(7, 3, dtype=torch.float64),
        "explanation": torch.rand(7, 1, 5, 6, dtype=torch.float64),
    }
    batch = {"label": torch.randint(3, (7,)), "mask": torch.randint(2, (7, 1, 5, 6))}
    loss = ExplainerClassifierLoss(0.9, gamma=gamma, class_weights=WEIGHTS)
    parts = [
        loss.terms({k: v[part] for k, v in outputs.items()}, {k: v[part] for k, v in batch.items()})
        for part in (slice(0, cut), slice(cut, 7))
    ]
    joined = loss.reduce({name: torch.cat([part[name] for part in parts]) for name in parts[0]})
    whole = loss(outputs, batch)
    for name in whole:
        torch.testing.assert_close(joined[name], whole[name])


def test_gradient_is_torchs(outputs, batch):
    for tensor in outputs.values():
        tensor.requires_grad_(True)
    loss = ExplainerClassifierLoss(0.9, gamma=1.0, class_weights=WEIGHTS)(outputs, batch)["loss"]
    gradients = torch.autograd.grad(loss, list(outputs.values()))
    plain = 0.9 * F.cross_entropy(outputs["logits"], batch["label"], weight=torch.tensor(WEIGHTS))
    plain = plain + 0.1 * ExplanationLoss(0.9, 1.0)(outputs["explanation"], batch["mask"])
    for ours, torchs in zip(gradients, torch.autograd.grad(plain, list(outputs.values())), strict=True):
        torch.testing.assert_close(ours, torchs)


def test_float32_under_autocast(outputs, batch):
    half = {name: value.bfloat16() for name, value in outputs.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = ExplainerClassifierLoss(0.9, gamma=1.0, class_weights=WEIGHTS)(half, batch)
    assert {value.dtype for value in losses.values()} == {torch.float32}
    exact = ExplainerClassifierLoss(0.9, gamma=1.0, class_weights=WEIGHTS)(
        {name: value.float() for name, value in half.items()}, batch
    )
    for name, value in exact.items():
        torch.testing.assert_close(losses[name], value)


def test_class_weights_are_an_option_and_not_a_state():
    loss = ExplainerClassifierLoss(0.9, class_weights=WEIGHTS)
    assert loss.state_dict() == {}
    assert list(loss.parameters()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -0.1}, r"alpha is -0.1, expected a weight in \[0,1\]"),
        ({"alpha": 0.9, "beta": 2.0}, "beta is 2.0"),
        ({"alpha": 0.9, "class_weights": [1.0, 0.0]}, r"class_weights is \[1.0, 0.0\], expected one positive number"),
        ({"alpha": 0.9, "class_weights": [[1.0, 2.0]]}, "expected one positive number per class"),
        ({"alpha": 0.9, "class_weights": [1.0, math.nan]}, "expected one positive number per class"),
        ({"alpha": 0.9, "tv_normalisation": "cod"}, "did you mean 'code'"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ExplainerClassifierLoss(**options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"label": torch.tensor([0, 3, 1])},
            "got labels from 0 to 3, expected 0 to 2; check the labels of the datalist",
        ),
        ({"label": torch.tensor([0, -1, 1])}, "got labels from -1 to 1, expected 0 to 2"),
        ({"label": torch.tensor([0.0, 1.0, 2.0])}, "got labels of type torch.float32, expected class indices"),
        ({"label": torch.tensor([0, 1])}, r"got labels of shape \(2,\) for 3 images, expected \(B,\)"),
        ({"label": torch.tensor([[0], [1], [2]])}, r"got labels of shape \(3, 1\) for 3 images"),
        ({"mask": torch.ones(3, 1, 4, 4)}, r"got a mask of shape \(3, 1, 4, 4\) for a map of shape \(3, 1, 8, 10\)"),
        ({"mask": None}, "gamma is 1.0 but no mask was given"),
    ],
)
def test_unfit_batches_are_refused(outputs, batch, changes, message):
    with pytest.raises(ValueError, match=message):
        ExplainerClassifierLoss(0.9, gamma=1.0)(outputs, {**batch, **changes})


def test_wrong_number_of_class_weights_and_logits_of_another_rank(outputs, batch):
    with pytest.raises(ValueError, match="got 2 class_weights for 3 classes, expected one per class"):
        ExplainerClassifierLoss(0.9, class_weights=[1.0, 2.0])(outputs, batch)
    with pytest.raises(ValueError, match=r"got logits of shape \(3,\), expected \(B,K\)"):
        ExplainerClassifierLoss(0.9)({**outputs, "logits": torch.zeros(3)}, batch)
