"""The joint loss: golden class loss, both totals written out, missing masks, one quantity for any batching."""

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor
from torch.distributions import Dirichlet, kl_divergence

from common.losses import UMLLoss
from tests.golden_evidence import EVIDENCE, LABEL

Tensors = dict[str, Tensor]

LOGITS = {"attention": ["segmentation_logits"], "reliable_mask": [f"side_logits_{i}" for i in (1, 2, 3, 4)]}
LEVELS = {
    "attention": ["pixel_evidence", *(f"pixel_evidence_{i}" for i in (2, 3, 4))],
    "reliable_mask": ["pixel_evidence"],
}
VARIANTS = list(LOGITS)


def drawn(variant: str, seed: int = 0, images: int = 4, size: tuple[int, int] = (4, 5)) -> tuple[Tensors, Tensors]:
    """Outputs and a batch of two classes and three structures, float64."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(images, *shape, generator=generator, dtype=torch.float64)

    outputs = {"evidence": random(2).exp()}
    outputs |= {name: 2 * random(3, *size) for name in LOGITS[variant]}
    outputs |= {name: random(3, *size).exp() for name in LEVELS[variant]}
    batch = {
        "label": torch.randint(2, (images,), generator=generator),
        "segmentation": torch.randint(3, (images, 1, *size), generator=generator),
    }
    return outputs, batch


def part(values: Tensors, index: object) -> Tensors:
    return {name: value[index] for name, value in values.items()}


def plain_dice(probability: Tensor, target: Tensor) -> Tensor:
    true = F.one_hot(target[:, 0], 3).movedim(-1, 1)
    inside, both = (probability * true).sum((0, 2, 3)), (probability + true).sum((0, 2, 3))
    return -((2 * inside + 1e-5) / (both + 1e-5)).log().mean()


def plain_evidential(evidence: Tensor, target: Tensor, annealed: float) -> Tensor:
    """The reference's form: classes last, Dirichlet parameters, PyTorch's divergence."""
    alpha = evidence.movedim(1, -1) + 1
    true = F.one_hot(target, alpha.shape[-1])
    cross_entropy = (true * (alpha.sum(-1, keepdim=True).digamma() - alpha.digamma())).sum(-1)
    wrong = (alpha - 1) * (1 - true) + 1
    return (cross_entropy + annealed * kl_divergence(Dirichlet(wrong), Dirichlet(torch.ones_like(wrong)))).mean()


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [
        (0, 0.7050545754),
        (1, 0.7062120590),
        (10, 0.7166294114),
        (25, 0.7339916654),
        (50, 0.7629287553),
        (80, 0.7629287553),
    ],
)
def test_golden_class_loss(epoch, expected):
    """The value that labels of shape (B,1) turned into 4.347 in the reference (KarryRen/UML) at epoch 10."""
    loss = UMLLoss(weights=(1, 0, 0))
    loss.set_epoch(epoch)
    losses = loss({"evidence": EVIDENCE}, {"label": LABEL})
    assert losses["loss"].item() == pytest.approx(expected, rel=1e-8)
    assert set(losses) == {"loss", "classification"}


@pytest.mark.parametrize("epoch", [0, 10, 50])
@pytest.mark.parametrize("dice_on", ["softmax_evidence", "dirichlet_mean"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_totals_written_out(variant, dice_on, epoch):
    outputs, batch = drawn(variant)
    loss = UMLLoss(variant, dice_on=dice_on)
    loss.set_epoch(epoch)
    losses, annealed, target = loss(outputs, batch), min(1.0, epoch / 50), batch["segmentation"]
    classification = plain_evidential(outputs["evidence"], batch["label"], annealed)
    dice = torch.stack([plain_dice(outputs[name].softmax(1), target) for name in LOGITS[variant]])
    if variant == "attention":
        segmentation = dice.sum() + F.cross_entropy(outputs["segmentation_logits"], target[:, 0])
    else:
        segmentation = dice.mean()
    evidential = torch.zeros(())
    for evidence in (outputs[name] for name in LEVELS[variant]):
        mean = (evidence + 1) / (evidence + 1).sum(1, keepdim=True)
        probability = evidence.softmax(1) if dice_on == "softmax_evidence" else mean
        evidential = evidential + plain_dice(probability, target) + plain_evidential(evidence, target[:, 0], annealed)
    torch.testing.assert_close(losses["classification"], classification)
    torch.testing.assert_close(losses["segmentation"], segmentation)
    torch.testing.assert_close(losses["evidential"], evidential)
    torch.testing.assert_close(losses["loss"], 0.5 * classification + 0.4 * segmentation + 0.1 * evidential)


def test_level_reduction():
    outputs, batch = drawn("attention")
    summed, mean = (UMLLoss("attention", level_reduction=how)(outputs, batch) for how in ("sum", "mean"))
    torch.testing.assert_close(summed["evidential"], 4 * mean["evidential"])
    torch.testing.assert_close(summed["segmentation"], mean["segmentation"])
    outputs, batch = drawn("reliable_mask")
    summed, mean = (UMLLoss("reliable_mask", level_reduction=how)(outputs, batch) for how in ("sum", "mean"))
    torch.testing.assert_close(summed["segmentation"], 4 * mean["segmentation"])
    torch.testing.assert_close(summed["evidential"], mean["evidential"])


def test_annealing_grows_from_nothing_and_is_full_unless_fed():
    outputs, batch = drawn("attention")
    loss = UMLLoss(annealing_epochs=4)
    unfed = loss(outputs, batch)["loss"]
    values = []
    for epoch in range(6):
        loss.set_epoch(epoch)
        values.append(loss(outputs, batch)["loss"])
    steps = torch.stack(values).diff()
    torch.testing.assert_close(steps[:4], steps[:1].expand(4))
    assert steps[0] > 0
    assert steps[4] == 0
    assert values[4] == unfed
    loss.set_epoch(0)
    assert not any("divergence" in name for name in loss.terms(outputs, batch)), (
        "nothing is computed to be multiplied by 0"
    )


@pytest.mark.parametrize("variant", VARIANTS)
@given(seed=st.integers(0, 2**16), cut=st.integers(1, 4), epoch=st.sampled_from([0, 20, 60]))
@settings(max_examples=12, deadline=None)
def test_batches_concatenated_give_the_loss_of_all_at_once(variant, seed, cut, epoch):
    outputs, batch = drawn(variant, seed, images=5)
    batch["segmentation_given"] = torch.tensor([True, True, False, True, False])
    loss = UMLLoss(variant, class_weights=[0.3, 2.0])
    loss.set_epoch(epoch)
    parts = [loss.terms(part(outputs, cases), part(batch, cases)) for cases in (slice(0, cut), slice(cut, 5))]
    joined = loss.reduce({name: torch.cat([terms[name] for terms in parts]) for name in parts[0]})
    whole = loss(outputs, batch)
    assert list(whole) == ["loss", "classification", "segmentation", "evidential"]
    for name in whole:
        torch.testing.assert_close(joined[name], whole[name])


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_a_mask_only_the_class_is_learned(variant):
    """Two of four cases have no mask; what stands in for it, even a value outside the label map, changes nothing."""
    outputs, batch = drawn(variant)
    given_mask = torch.tensor([True, False, True, False])
    batch["segmentation"][~given_mask] = 255
    for value in outputs.values():
        value.requires_grad_(True)
    losses = UMLLoss(variant)(outputs, {**batch, "segmentation_given": given_mask})
    with_masks = UMLLoss(variant)(part(outputs, given_mask), part(batch, given_mask))
    torch.testing.assert_close(losses["segmentation"], with_masks["segmentation"])
    torch.testing.assert_close(losses["evidential"], with_masks["evidential"])
    all_classes = UMLLoss(variant, weights=(1, 0, 0))(outputs, batch)["loss"]
    torch.testing.assert_close(losses["classification"], all_classes)
    gradients = dict(zip(outputs, torch.autograd.grad(losses["loss"], list(outputs.values())), strict=True))
    for name, gradient in gradients.items():
        learned = gradient.flatten(1).abs().sum(1) > 0
        assert learned.tolist() == ([True] * 4 if name == "evidence" else given_mask.tolist()), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_without_any_mask(variant):
    outputs, batch = drawn(variant, images=2)
    for value in outputs.values():
        value.requires_grad_(True)
    losses = UMLLoss(variant)(outputs, {**batch, "segmentation_given": torch.zeros(2, dtype=torch.bool)})
    assert losses["segmentation"] == losses["evidential"] == 0
    torch.testing.assert_close(losses["loss"], 0.5 * losses["classification"])
    gradients = torch.autograd.grad(losses["loss"], list(outputs.values()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert gradients[0].abs().sum() > 0
    assert all(gradient.abs().sum() == 0 for gradient in gradients[1:])


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_of_one(variant):
    outputs, batch = drawn(variant, images=1)
    losses = UMLLoss(variant, class_weights=[0.5, 3.0])(outputs, batch)
    assert torch.isfinite(losses["loss"])
    unweighted = UMLLoss(variant)(outputs, batch)["classification"]
    torch.testing.assert_close(losses["classification"], unweighted)


def test_class_weights_are_those_of_torch():
    """The mean is weighted as torch's cross entropy weighs it: doubling a class's weight is seeing its cases twice."""
    outputs, batch = {"evidence": EVIDENCE}, {"label": LABEL}
    twice = torch.cat([torch.arange(6), torch.nonzero(LABEL == 1).squeeze(1)])
    weighted = UMLLoss(weights=(1, 0, 0), class_weights=[1.0, 2.0])(outputs, batch)["loss"]
    torch.testing.assert_close(weighted, UMLLoss(weights=(1, 0, 0))(part(outputs, twice), part(batch, twice))["loss"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_structures_have_no_order_and_pixels_no_place(variant):
    outputs, batch = drawn(variant)
    loss, order = UMLLoss(variant), torch.tensor([2, 0, 1])
    whole = loss(outputs, batch)["loss"]
    maps = [*LOGITS[variant], *LEVELS[variant]]
    reordered = outputs | {name: outputs[name][:, order] for name in maps}
    torch.testing.assert_close(
        loss(reordered, batch | {"segmentation": order.argsort()[batch["segmentation"]]})["loss"], whole
    )
    flipped = outputs | {name: outputs[name].flip(-1) for name in maps}
    torch.testing.assert_close(loss(flipped, batch | {"segmentation": batch["segmentation"].flip(-1)})["loss"], whole)
    swapped = outputs | {"evidence": outputs["evidence"].flip(1)}
    torch.testing.assert_close(loss(swapped, batch | {"label": 1 - batch["label"]})["loss"], whole)


@pytest.mark.parametrize("dice_on", ["softmax_evidence", "dirichlet_mean"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient(variant, dice_on):
    outputs, batch = drawn(variant, images=2, size=(2, 2))
    loss = UMLLoss(variant, dice_on=dice_on, class_weights=[1.0, 3.0])
    loss.set_epoch(20)
    inputs = [value.requires_grad_(True) for value in outputs.values()]
    scalar = lambda *values: loss(dict(zip(outputs, values, strict=True)), batch)["loss"]  # noqa: E731
    assert torch.autograd.gradcheck(scalar, inputs, fast_mode=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_float32_under_autocast(variant):
    outputs, batch = drawn(variant)
    half = {name: value.bfloat16() for name, value in outputs.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = UMLLoss(variant).terms(half, batch)
        losses = UMLLoss(variant).reduce(terms)
    assert {value.dtype for value in (*terms.values(), *losses.values())} == {torch.float32}
    exact = UMLLoss(variant)({name: value.double() for name, value in half.items()}, batch)
    for name, value in losses.items():
        torch.testing.assert_close(value, exact[name].float(), rtol=1e-5, atol=1e-5)


def test_terms_are_small_and_per_sample():
    outputs, batch = drawn("attention")
    terms = UMLLoss().terms(outputs, batch)
    assert {name: tuple(value.shape) for name, value in terms.items()} == {
        "classification_cross_entropy": (4,),
        "classification_divergence": (4,),
        "class_weight": (4,),
        "segmentation_given": (4,),
        "segmentation_cross_entropy": (4, 1),
        "segmentation_dice": (4, 1, 3, 3),
        "evidential_cross_entropy": (4, 4),
        "evidential_divergence": (4, 4),
        "evidential_dice": (4, 4, 3, 3),
    }


@pytest.mark.parametrize(
    ("weights", "needed"),
    [
        ((1, 0, 0), ["evidence", "label"]),
        ((0, 1, 0), ["segmentation_logits", "segmentation"]),
        ((0, 0, 2), [*LEVELS["attention"], "segmentation"]),
    ],
)
def test_parts_of_weight_0_need_nothing(weights, needed):
    """So the loss also trains a network that only segments, or only classifies."""
    values = {**drawn("attention")[0], **drawn("attention")[1]}
    kept = {name: values[name] for name in needed}
    losses = UMLLoss(weights=weights)(kept, kept)
    assert len(losses) == 2
    everything = UMLLoss()(values, values)
    (name,) = set(losses) - {"loss"}
    torch.testing.assert_close(losses["loss"], max(weights) * everything[name])


def test_absent_structures_may_be_ignored():
    outputs, batch = drawn("attention")
    batch["segmentation"] %= 2
    published, ignoring = (UMLLoss(absent_structures=how)(outputs, batch) for how in ("penalise", "ignore"))
    assert published["segmentation"] > ignoring["segmentation"] + 2
    torch.testing.assert_close(published["classification"], ignoring["classification"])


def test_options_are_no_state():
    loss = UMLLoss(class_weights=[1.0, 9.0])
    loss.set_epoch(3)
    assert loss.state_dict() == {}
    assert list(loss.parameters()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "atention"}, "did you mean 'attention'"),
        ({"weights": (0.5, 0.5)}, r"weights are \[0.5, 0.5\], expected three of at least 0, not all 0: classification"),
        ({"weights": (0, 0, 0)}, r"weights are \[0, 0, 0\]"),
        ({"weights": (1, -0.1, 0)}, r"weights are \[1, -0.1, 0\]"),
        ({"weights": (1, float("nan"), 0)}, r"weights are \[1, nan, 0\]"),
        ({"level_reduction": "max"}, "level_reduction is 'max', expected one of sum, mean"),
        ({"dice_on": "alpha"}, "dice_on is 'alpha', expected one of softmax_evidence, dirichlet_mean"),
        ({"absent_structures": "skip"}, "absent_structures is 'skip', expected one of penalise, ignore"),
        ({"class_weights": [1.0, -1.0]}, "expected one positive number per class"),
        ({"annealing_epochs": -5}, "annealing_epochs is -5, expected 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        UMLLoss(**options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": torch.zeros(4, 1).long()}, r"got labels of shape \(4, 1\) .* expected \(4,\)"),
        ({"label": torch.zeros(4)}, "got labels of type torch.float32"),
        ({"label": torch.tensor([0, 1, 2, 0])}, "got labels from 0 to 2, expected 0 to 1"),
        ({"segmentation": torch.zeros(4, 4, 5).long()}, r"got masks of shape \(4, 4, 5\) .* expected \(4, 1, 4, 5\)"),
        (
            {"segmentation": torch.zeros(4, 1, 8, 8).long()},
            r"expected \(4, 1, 4, 5\): .* resized together with the image",
        ),
        ({"segmentation": torch.zeros(4, 1, 4, 5)}, "got labels of type torch.float32"),
        (
            {"segmentation": torch.full((4, 1, 4, 5), 255)},
            r"got labels from 255 to 255, expected 0 to 2; .*\(of a mask",
        ),
        ({"segmentation_given": torch.ones(4, 1).bool()}, r"got segmentation_given of shape \(4, 1\), expected \(4,\)"),
        ({"evidence": torch.tensor([[1.0, -2.0]] * 4)}, "got evidence down to -2, expected 0 or more"),
        (
            {"pixel_evidence_3": torch.ones(4, 3, 2, 2)},
            r"labels of shape \(4, 4, 5\) for class scores of shape \(4, 3, 2, 2\)",
        ),
        ({"segmentation_logits": torch.ones(4, 3)}, r"got class scores of pixels of shape \(4, 3\)"),
    ],
)
def test_unfit_batches_are_refused(changes, message):
    outputs, batch = drawn("attention")
    values = {**outputs, **batch, **changes}
    with pytest.raises(ValueError, match=message):
        UMLLoss()(values, values)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("label", "needs 'label' but was given only .*; add it to the items of the datalist"),
        ("segmentation", "needs 'segmentation' but was given only .*; add 'mask' to the items"),
        ("pixel_evidence_2", r"needs 'pixel_evidence_2' but .* \(explain_levels\) in the stage"),
    ],
)
def test_missing_values_are_named(name, message):
    outputs, batch = drawn("attention")
    values = {**outputs, **batch}
    del values[name]
    with pytest.raises(ValueError, match=message):
        UMLLoss()(values, values)


def test_wrong_number_of_class_weights():
    outputs, batch = drawn("attention")
    with pytest.raises(ValueError, match="got 3 class_weights for 2 classes, expected one per class"):
        UMLLoss(class_weights=[1.0, 2.0, 3.0])(outputs, batch)
