"""Prototypes and the classes they belong to."""

import pytest
import torch

from common.layers import PrototypeLayer, class_map_of, forget_projection
from common.networks import InterNRL, ProtoPNet


@pytest.mark.parametrize(
    ("classes", "counts", "expected"),
    [(2, 2, [0, 0, 1, 1]), (3, [1, 3, 2], [0, 1, 1, 1, 2, 2]), (1, [2], [0, 0])],
)
def test_every_class_has_its_block(classes, counts, expected):
    assert class_map_of(classes, counts).tolist() == expected


@pytest.mark.parametrize(("classes", "counts"), [(2, 0), (2, [1]), (2, [1, 0]), (0, 3), (2, [1.5, 2])])
def test_counts_that_make_no_sense_are_refused(classes, counts):
    with pytest.raises(ValueError, match="expected a positive number, or one for every class"):
        class_map_of(classes, counts)


@pytest.mark.parametrize(
    ("options", "scale"),
    [({}, 24.0), ({"similarity": "log_l2"}, 1.0), ({"similarity": "cosine"}, 1.0), ({"scale": 3}, 3.0)],
)
def test_scale_is_the_number_of_channels_unless_told(options, scale):
    assert PrototypeLayer(class_map_of(2, 3), 24, **options).scale == scale


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"similarity": "exp_12"},
            "similarity is 'exp_12', expected one of exp_l2, log_l2, cosine; did you mean 'exp_l2'",
        ),
        ({"scale": 0.0}, r"similarity_scale is 0\.0, expected a positive number or null"),
        ({"channels": 0}, "prototype_channels is 0"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        PrototypeLayer(class_map_of(2, 3), **{"channels": 4, **options})


def test_prototypes_start_in_the_unit_cube_and_are_all_the_layer_learns():
    layer = PrototypeLayer(class_map_of(2, 50), 16)
    assert layer.vectors.shape == (100, 16)
    assert 0 <= layer.vectors.min() < 0.05
    assert 0.95 < layer.vectors.max() < 1
    assert [name for name, _ in layer.named_parameters()] == ["vectors"]
    assert set(layer.state_dict()) == {"vectors", "class_map", "projected"}
    assert not layer.projected


@torch.no_grad()
def test_maps_of_chosen_prototypes_are_those_among_all():
    layer = PrototypeLayer(class_map_of(3, [2, 1, 3]), 8, similarity="cosine")
    feature, chosen = torch.rand(2, 8, 4, 3), torch.tensor([[5, 0], [2, 2]])
    every = layer.similarity_of(layer(feature))
    expected = torch.stack([every[image, indices] for image, indices in enumerate(chosen)])
    torch.testing.assert_close(layer.similarity_maps(feature, chosen), expected)


@pytest.mark.parametrize(
    ("trained", "still"),
    [
        ([], True),
        (["teacher"], True),
        (["student.last_layer"], True),
        (["teacher", "student.last_layer"], True),
        (["student.prototypes"], False),
        (["student.add_on"], False),
        (["student.trunk"], False),
        (["stem"], False),
    ],
)
def test_prototypes_are_copies_until_they_or_their_features_train(trained, still):
    network = InterNRL("small", prototypes_per_class=2, prototype_channels=4, hidden=4)
    network.student.prototypes.projected.fill_(True)
    network.requires_grad_(False)
    for name in trained:
        network.get_submodule(name).requires_grad_(True)
    forget_projection(network)
    assert bool(network.student.prototypes.projected) is still


@pytest.mark.parametrize(("trained", "still"), [("last_layer", True), ("trunk", False)])
def test_a_network_may_hold_its_prototypes_itself(trained, still):
    network = ProtoPNet("small", prototypes_per_class=2, prototype_channels=4).requires_grad_(False)
    network.prototypes.projected.fill_(True)
    getattr(network, trained).requires_grad_(True)
    forget_projection(network)
    assert bool(network.prototypes.projected) is still


def test_whether_it_is_projected_survives_saving():
    layer, other = (PrototypeLayer(class_map_of(2, 1), 3) for _ in range(2))
    layer.projected.fill_(True)
    other.load_state_dict(layer.state_dict())
    assert other.projected
    assert other.projected.dtype == torch.bool
