"""Prototypes and the classes they belong to."""

import pytest
import torch

from common.layers import PrototypeLayer, class_map_of


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
    assert set(layer.state_dict()) == {"vectors", "class_map"}


@torch.no_grad()
def test_maps_of_chosen_prototypes_are_those_among_all():
    layer = PrototypeLayer(class_map_of(3, [2, 1, 3]), 8, similarity="cosine")
    feature, chosen = torch.rand(2, 8, 4, 3), torch.tensor([[5, 0], [2, 2]])
    every = layer.similarity_of(layer(feature))
    expected = torch.stack([every[image, indices] for image, indices in enumerate(chosen)])
    torch.testing.assert_close(layer.similarity_maps(feature, chosen), expected)
