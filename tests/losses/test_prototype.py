"""Cluster, separation and orthogonality: pencil values, one class or several per image."""

import pytest
import torch

from common.losses import PrototypeTerms, class_distance, cluster, orthogonality, separation

CLASS_MAP = torch.tensor([0, 0, 1, 2, 2])
DISTANCE = torch.tensor([[5.0, 3.0, 4.0, 9.0, 8.0], [1.0, 2.0, 0.5, 7.0, 6.0]])
NEAREST = [[3.0, 4.0, 8.0], [1.0, 0.5, 6.0]]


def test_nearest_prototype_of_each_class():
    assert class_distance(DISTANCE, CLASS_MAP, 3).tolist() == NEAREST


@pytest.mark.parametrize(
    ("positive", "near", "far"),
    [
        ([[1, 0, 0], [0, 1, 0]], [3.0, 0.5], [4.0, 1.0]),
        ([[1, 0, 1], [0, 0, 0]], [11.0, 0.0], [4.0, 0.5]),  # several classes add up; none is near nothing
        ([[1, 1, 1], [0, 1, 1]], [15.0, 6.5], [0.0, 1.0]),  # with every class there is nothing to keep away from
    ],
)
def test_pencil_values(positive, near, far):
    nearest, has = torch.tensor(NEAREST), torch.tensor(positive).bool()
    assert cluster(nearest, has).tolist() == near
    assert separation(nearest, has).tolist() == far


def test_an_image_with_every_class_has_no_gradient_of_separation():
    nearest = torch.tensor(NEAREST, requires_grad=True)
    separation(nearest, torch.tensor([[1, 1, 1], [1, 0, 0]]).bool()).sum().backward()
    assert nearest.grad.tolist() == [[0, 0, 0], [0, 1, 0]]


def test_gradient_reaches_the_nearest_prototype_only():
    distance = DISTANCE.clone().requires_grad_()
    cluster(class_distance(distance, CLASS_MAP, 3), torch.tensor([[1, 0, 0], [0, 0, 1]]).bool()).sum().backward()
    assert distance.grad.tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("prototype", "class_map", "expected"),
    [
        ([[2.0, 0.0], [0.0, 5.0]], [0, 0], 0.0),  # orthogonal, whatever the length
        ([[1.0, 0.0], [3.0, 0.0]], [0, 0], 2.0),  # parallel: 1 in both places off the diagonal
        ([[1.0, 0.0], [-1.0, 0.0]], [0, 0], 2.0),
        ([[1.0, 0.0], [1.0, 0.0]], [0, 1], 0.0),  # of different classes
        ([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [0, 0, 0], 4 * 0.5**0.5),
    ],
)
def test_orthogonality(prototype, class_map, expected):
    value = orthogonality(torch.tensor(prototype), torch.tensor(class_map))
    assert value.item() == pytest.approx(expected, abs=1e-6)


def test_only_images_with_labels_count():
    loss = PrototypeTerms(CLASS_MAP, cluster=2.0, separation=3.0, margin=10.0)
    terms = loss.terms(DISTANCE, torch.tensor([0, 0]), torch.tensor([True, False]), 3)
    parts = loss.reduce(terms)
    assert {name: value.item() for name, value in parts.items()} == {
        "cluster": 3.0,
        "separation": 4.0,
        "prototypes": 2 * 3.0 + 3 * (10 - 4.0),
    }


def test_without_any_label_nothing_counts():
    """Not even the constant of the hinge."""
    loss = PrototypeTerms(CLASS_MAP, cluster=2.0, separation=3.0, margin=10.0)
    parts = loss.reduce(loss.terms(DISTANCE, torch.tensor([0, 0]), torch.tensor([False, False]), 3))
    assert parts["prototypes"].item() == 0


@pytest.mark.parametrize(("margin", "hinge"), [(2.0, 0.0), (2.5, 0.0), (4.0, 1.5)])
def test_the_hinge_is_on_the_mean_of_all_images(margin, hinge):
    """Separations 4 and 1 have the mean 2.5: batches of any size give the loss of all images as one."""
    loss = PrototypeTerms(CLASS_MAP, cluster=0.0, separation=1.0, margin=margin)
    label = torch.tensor([0, 1])
    halves = [loss.terms(DISTANCE[i : i + 1], label[i : i + 1], None, 3) for i in range(2)]
    joined = {name: torch.cat([half[name] for half in halves]) for name in halves[0]}
    for terms in (joined, loss.terms(DISTANCE, label, None, 3)):
        assert loss.reduce(terms)["prototypes"].item() == hinge


def test_orthogonality_is_weighed_in_and_reaches_the_prototypes():
    prototype = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    loss = PrototypeTerms(CLASS_MAP, 0.0, 0.0, 0.0, orthogonality=0.5, prototype=prototype)
    parts = loss.reduce(loss.terms(DISTANCE, torch.tensor([0, 1]), None, 3))
    assert parts["orthogonality"].item() == pytest.approx(2**0.5 + 2)
    assert parts["prototypes"].item() == pytest.approx(0.5 * (2**0.5 + 2))
    parts["prototypes"].backward()
    assert prototype.grad[0].abs().max() > 0
    assert prototype.grad[2].abs().max() == 0, "alone in its class"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster": -1.0}, r"cluster is -1\.0"),
        ({"margin": -1.0}, r"margin is -1\.0"),
        ({"orthogonality": 1.0}, "orthogonality needs the 5 prototypes' vectors, they are missing"),
        ({"orthogonality": 1.0, "prototype": torch.ones(4, 2)}, "5 prototypes' vectors, they are 4"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        PrototypeTerms(CLASS_MAP, **{"cluster": 0.0, "separation": 0.0, "margin": 0.0, **options})


def test_a_label_out_of_range_is_refused():
    loss = PrototypeTerms(CLASS_MAP, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="got labels from 0 to 3, expected 0 to 2"):
        loss.terms(DISTANCE, torch.tensor([0, 3]), None, 3)
