"""Evidence and opinions: golden values, pencil values, and what must hold for every evidence."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from common import layers
from common.layers import (
    EVIDENCE_ACTIVATIONS,
    dissonance,
    entropy_of_mean,
    evidence_from,
    expected_entropy,
    mutual_information,
    opinion,
    vacuity,
)
from tests.golden_evidence import EVIDENCE, RAW, close

MEASURES = [vacuity, dissonance, entropy_of_mean, expected_entropy, mutual_information]


def drawn(seed: int, classes: int = 4, scale: float = 3.0) -> Tensor:
    """Evidence (3,C,2,2), some of it exactly 0."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(3, classes, 2, 2, generator=generator, dtype=torch.float64) * scale
    return values.clamp(min=0) ** 2


def test_golden_opinion():
    evidence = evidence_from(RAW)
    close(evidence, EVIDENCE)
    probability, belief, uncertainty = opinion(evidence)
    close(uncertainty[:, 0], [0.9609649345, 0.5001872740, 0.9504833406, 0.5249258922, 0.2740495476, 0.4177398368])
    close(belief[4], [0.0057836220, 0.7201668304])
    close(probability[4], [0.1428083958, 0.8571916042])


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (entropy_of_mean, [0.6928542204, 0.5727920081, 0.6924610827, 0.6222216682, 0.4100289656, 0.5181157210]),
        (expected_entropy, [0.5054557138, 0.4682074276, 0.5066594420, 0.5108170145, 0.3519778312, 0.4304920220]),
        (mutual_information, [0.1873985066, 0.1045845805, 0.1858016407, 0.1114046538, 0.0580511343, 0.0876236989]),
        (dissonance, [0.0148304567, 0.0193065109, 0.0124777352, 0.1029662265, 0.0115672440, 0.0085836416]),
    ],
)
def test_golden_measures(measure, expected):
    close(measure(EVIDENCE)[:, 0], expected)


def test_expected_entropy_is_that_of_samples():
    evidence = torch.tensor([[0.5, 3.0, 1.0]], dtype=torch.float64)
    samples = torch.distributions.Dirichlet(evidence[0] + 1).sample((200_000,))
    assert expected_entropy(evidence).item() == pytest.approx(
        torch.special.entr(samples).sum(1).mean().item(), abs=3e-3
    )


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_pencil_values(classes):
    """No evidence, all evidence for one class, equal evidence for all."""
    none = torch.zeros(1, classes, dtype=torch.float64)
    probability, belief, uncertainty = opinion(none)
    assert uncertainty.item() == 1.0
    assert belief.tolist() == none.tolist()
    torch.testing.assert_close(probability, torch.full_like(none, 1 / classes))
    assert entropy_of_mean(none).item() == pytest.approx(math.log(classes))
    assert dissonance(none).item() == 0.0
    sure = none.clone()
    sure[0, 1] = 9.0 * classes
    assert dissonance(sure).item() == 0.0, "nothing speaks against the one class"
    assert opinion(sure)[2].item() == pytest.approx(0.1)
    torn = torch.full_like(none, 9.0)
    assert dissonance(torn).item() == pytest.approx(0.9), "beliefs of 0.9 together, in perfect balance"
    assert opinion(torn)[2].item() == pytest.approx(0.1), "as certain as if they spoke for one class"


@given(seed=st.integers(0, 2**16), classes=st.integers(2, 6), scale=st.sampled_from([1e-3, 1.0, 30.0]))
@settings(max_examples=30, deadline=None)
def test_what_holds_for_every_evidence(seed, classes, scale):
    evidence = drawn(seed, classes, scale)
    probability, belief, uncertainty = opinion(evidence)
    ones = torch.ones_like(uncertainty)
    torch.testing.assert_close(belief.sum(1, keepdim=True) + uncertainty, ones)
    torch.testing.assert_close(probability.sum(1, keepdim=True), ones)
    torch.testing.assert_close(probability, belief + uncertainty / classes)
    assert torch.equal(vacuity(evidence), uncertainty)
    assert (uncertainty > 0).all()
    assert (uncertainty <= 1).all()
    assert (opinion(evidence + 0.1)[2] < uncertainty).all(), "more evidence for anything leaves less uncertainty"
    total, remaining = entropy_of_mean(evidence), expected_entropy(evidence)
    assert (total <= math.log(classes) + 1e-12).all()
    assert (remaining <= total + 1e-12).all()
    torch.testing.assert_close(mutual_information(evidence), total - remaining)
    assert (dissonance(evidence) >= 0).all()
    assert (dissonance(evidence) <= belief.sum(1, keepdim=True) + 1e-12).all()


@given(seed=st.integers(0, 2**16))
@settings(max_examples=10, deadline=None)
def test_classes_have_no_order(seed):
    evidence, order = drawn(seed), torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    for measure in MEASURES:
        torch.testing.assert_close(measure(evidence[:, order]), measure(evidence))
    for ours, theirs in zip(opinion(evidence[:, order])[:2], opinion(evidence)[:2], strict=True):
        torch.testing.assert_close(ours, theirs[:, order])


def test_dissonance_is_its_formula():
    """A loop over pairs of classes, as the formula is printed."""
    evidence = drawn(5)[0, :, 0, 0]
    belief = opinion(evidence.unsqueeze(0))[1][0].tolist()
    expected = 0.0
    for k, own in enumerate(belief):
        others = [b for j, b in enumerate(belief) if j != k]
        balance = [1 - abs(b - own) / (b + own) if b + own else 0.0 for b in others]
        if sum(others):
            expected += own * sum(b * w for b, w in zip(others, balance, strict=True)) / sum(others)
    assert dissonance(evidence.unsqueeze(0)).item() == pytest.approx(expected, rel=1e-12)


def test_dimension_of_the_classes():
    evidence = drawn(1)
    last = evidence.movedim(1, -1)
    for measure in MEASURES:
        assert measure(evidence).shape == (3, 1, 2, 2)
        torch.testing.assert_close(measure(last, dim=-1).movedim(-1, 1), measure(evidence))
    torch.testing.assert_close(opinion(last, -1)[0].movedim(-1, 1), opinion(evidence)[0])


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("softplus", [math.log1p(math.exp(-2)), math.log(2), 30.0]),
        ("relu", [0, 0, 30]),
        ("exp", [0.135335, 1, 22026.46]),
    ],
)
def test_activations(activation, expected):
    evidence = evidence_from(torch.tensor([-2.0, 0.0, 30.0]), activation)
    torch.testing.assert_close(evidence, torch.tensor(expected, dtype=torch.float32))


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="evidence activation is 'elu', expected one of softplus, relu, exp"):
        evidence_from(torch.zeros(1), "elu")


@pytest.mark.parametrize("activation", EVIDENCE_ACTIVATIONS)
def test_float32_under_autocast(activation):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        evidence = evidence_from(RAW.bfloat16(), activation)
        values = [*opinion(evidence.bfloat16()), *(measure(evidence.bfloat16()) for measure in MEASURES)]
    assert evidence.dtype == torch.float32
    assert {value.dtype for value in values} == {torch.float32}
    assert all(torch.isfinite(value).all() for value in values)


@pytest.mark.parametrize("name", ["opinion", *(measure.__name__ for measure in MEASURES)])
def test_scripts(name):
    function = getattr(layers, name)
    for ours, theirs in zip(torch.jit.script(function)(EVIDENCE), function(EVIDENCE), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("activation", EVIDENCE_ACTIVATIONS)
def test_activation_scripts(activation):
    scripted = torch.jit.script(evidence_from)(RAW, activation)
    torch.testing.assert_close(scripted, evidence_from(RAW, activation))
