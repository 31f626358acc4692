"""The whole loss: golden hinges, each term by itself, and each absent at weight 0."""

import pytest
import torch

from common.losses import (
    CIPLLoss,
    PrototypeTerms,
    interpretation_alignment,
    multi_label_cross_entropy,
    prediction_alignment,
)

CLASS_MAP = torch.tensor([0, 0, 1, 2, 2])  # two diseases and the background
WEIGHTS = ("cluster", "separation", "cross", "interpretation", "prediction")
#: Golden: cwangrun/CIPL, distance of six images to the nearest prototype of a class they have not.
SEPARATION = [0.122033, 0.852814, 1.963173, 2.671109, 1.01972, 3.091357]


def only(**weights) -> CIPLLoss:
    """The loss with all other weights 0."""
    return CIPLLoss(CLASS_MAP, **{**dict.fromkeys(WEIGHTS, 0.0), **weights})


@pytest.fixture
def outputs():
    return {
        "logits": torch.randn(4, 2),
        "distance": torch.tensor([[5.0, 3, 4, 9, 8], [1, 2, 0.5, 7, 6], [2, 2, 3, 1, 4], [9, 8, 7, 6, 5]]),
        "cross_logits": torch.randn(4, 2),
        "similarity_map": torch.rand(4, 5, 2, 3),
        "teacher_map": torch.rand(4, 5, 2, 3),
        "teacher_logits": torch.randn(4, 2),
    }


@pytest.fixture
def batch():
    label = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    shared = (label[:2] * label[2:]).repeat(2, 1)
    return {"label": label, "shared_label": shared}


def test_an_image_without_a_disease_has_the_background_class(outputs, batch):
    terms = only(cluster=1.0, separation=1.0).terms(outputs, batch)
    assert terms["cluster"].tolist() == [3.0 + 4.0, 1.0, 1.0, 7.0]
    assert terms["separation"].tolist() == [8.0, 0.5, 2.0, 5.0]


@pytest.mark.parametrize(("per_image", "expected"), [(False, 0.37996567), (True, 0.67371004)])
def test_golden_hinges(per_image, expected):
    loss = PrototypeTerms(CLASS_MAP, 0.0, 1.0, margin=2.0, hinge_per_image=per_image)
    terms = {"separation": torch.tensor(SEPARATION), "label_given": torch.ones(6)}
    parts = loss.reduce(terms)
    assert parts["prototypes"].item() == pytest.approx(expected, abs=1e-6)
    assert set(parts) == {"prototypes", "separation"}


def test_several_classes_at_once_are_the_sum_of_one_by_one():
    """The prototype terms of a membership equal those of class indices where each image has one class."""
    loss = PrototypeTerms(CLASS_MAP, 1.0, 1.0, margin=9.0)
    distance, label = torch.rand(3, 5), torch.tensor([0, 2, 1])
    member = torch.eye(3)[label]
    for given in (None, torch.tensor([True, False, True])):
        first, second = loss.terms(distance, label, given, 3), loss.terms(distance, member, given, 3)
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert loss.reduce(first) == loss.reduce(second)


def test_the_sum_of_all_terms(outputs, batch):
    """With the published weights; every disease counts in every term."""
    parts = CIPLLoss(CLASS_MAP).reduce(CIPLLoss(CLASS_MAP).terms(outputs, batch))
    expected = {
        "classification": multi_label_cross_entropy(outputs["logits"], batch["label"]).mean(),
        "cluster": (7.0 + 1.0 + 1.0 + 7.0) / 4,
        "separation": (8.0 + 0.5 + 2.0 + 5.0) / 4,
        "prototypes": 0.02 * 4.0,  # the hinge is open: 3.875 is beyond 2
        "cross": multi_label_cross_entropy(outputs["cross_logits"], batch["shared_label"]).mean(),
        "interpretation": interpretation_alignment(outputs["similarity_map"], outputs["teacher_map"]).mean(),
        "prediction": prediction_alignment(outputs["logits"], outputs["teacher_logits"]).mean(),
    }
    assert {name: parts[name].item() for name in expected} == pytest.approx({k: float(v) for k, v in expected.items()})
    weighted = {"classification": 1, "prototypes": 1, "cross": 0.5, "interpretation": 0.5, "prediction": 10}
    assert parts["loss"].item() == pytest.approx(sum(w * float(expected[name]) for name, w in weighted.items()))


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_term_is_there_with_its_weight_and_absent_at_weight_zero(outputs, batch, name):
    with_it, without = only(**{name: 2.0}), only()
    assert set(without.terms(outputs, batch)) == {"classification"}
    terms = with_it.terms(outputs, batch)
    assert set(terms) - {"label_given"} == {"classification", name}
    plain, weighed = without.reduce(without.terms(outputs, batch)), with_it.reduce(terms)
    share = (2.0 - weighed[name]).clamp(min=0) if name == "separation" else weighed[name]
    assert weighed["loss"].item() == pytest.approx((plain["loss"] + 2.0 * share).item())
    assert set(plain) == {"loss", "classification"}


def test_a_validation_has_what_single_images_can_have(outputs, batch):
    single = {name: outputs[name] for name in ("logits", "distance", "similarity_map")}
    terms = CIPLLoss(CLASS_MAP).terms(single, {"label": batch["label"]})
    assert set(terms) == {"classification", "cluster", "separation", "label_given"}


def test_batches_joined_are_one_batch(outputs, batch):
    """All but the prediction term, which compares the images of a batch."""
    loss = CIPLLoss(CLASS_MAP, margin=9.0, prediction=0.0)
    halves = [
        loss.terms({k: v[i::2] for k, v in outputs.items()}, {k: v[i::2] for k, v in batch.items()}) for i in range(2)
    ]
    joined = {name: torch.cat([half[name] for half in halves]) for name in halves[0]}
    whole = loss.reduce(loss.terms(outputs, batch))
    assert loss.reduce(joined)["loss"].item() == pytest.approx(whole["loss"].item())


def test_order_of_the_batch_does_not_matter(outputs, batch):
    loss, order = CIPLLoss(CLASS_MAP), [2, 0, 3, 1]
    whole = loss.reduce(loss.terms(outputs, batch))["loss"]
    permuted = loss.terms({k: v[order] for k, v in outputs.items()}, {k: v[order] for k, v in batch.items()})
    assert loss.reduce(permuted)["loss"].item() == pytest.approx(whole.item())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cross": -1.0}, r"cross is -1\.0, expected 0 or more"),
        ({"cluster": -1.0}, r"cluster is -1\.0"),
        ({"temperature": 0.0}, r"temperature is 0\.0"),
        ({"alignment": "cosin"}, "alignment is 'cosin', .*did you mean 'cosine'"),
        ({"reduction": "median"}, "reduction is 'median'"),
        ({"class_weights": [1.0, -1.0]}, "expected one positive number per class"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        CIPLLoss(CLASS_MAP, **options)


def test_a_missing_value_is_named(outputs, batch):
    del outputs["distance"]
    with pytest.raises(ValueError, match="the loss needs 'distance' but was given only"):
        CIPLLoss(CLASS_MAP).terms(outputs, batch)
