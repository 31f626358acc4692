"""Image normalisation: per channel, saved with the weights, and no broadcasting in silence."""

import pytest
import torch

from common.layers import ImageNormalisation


def test_per_channel():
    layer = ImageNormalisation(3, mean=[0.1, 0.2, 0.3], std=0.5)
    result = layer(torch.full((1, 3, 32, 32), 0.6))
    torch.testing.assert_close(result.mean(dim=(0, 2, 3)), torch.tensor([1.0, 0.8, 0.6]))


def test_by_default_the_image_is_left_alone():
    image = torch.rand(1, 3, 32, 40)
    assert torch.equal(ImageNormalisation(3)(image), image)


def test_it_travels_with_the_weights():
    layer = ImageNormalisation(3)
    layer.load_state_dict(ImageNormalisation(3, 0.3, 0.5).state_dict())
    assert torch.equal(layer.mean, torch.full((1, 3, 1, 1), 0.3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_channels": 0}, "in_channels is 0, expected a positive number"),
        ({"in_channels": 3, "mean": [0.5, 0.5]}, r"mean has 2 values, expected one number or one per channel \(3\)"),
        ({"in_channels": 3, "std": [0.1, 0.0, 0.1]}, "std is .*, expected positive numbers"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ValueError, match=message):
        ImageNormalisation(**options)


def test_grey_image_for_a_colour_network():
    with pytest.raises(ValueError, match="got 1 channels, network built for 3"):
        ImageNormalisation(3)(torch.rand(1, 1, 32, 32))
