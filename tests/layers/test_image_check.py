"""What is refused before it is broadcast into nonsense."""

import pytest
import torch

from common.layers import check_image


@pytest.mark.parametrize(
    ("shape", "in_channels", "message"),
    [
        ((1, 1, 64, 64), 3, "got 1 channels, network built for 3; build it with in_channels=1"),
        ((1, 3, 64, 64), 1, "got 3 channels, network built for 1; build it with in_channels=3"),
        (
            (3, 64, 64),
            3,
            r"got a tensor of shape \(3, 64, 64\), expected a batch of images \(B,3,H,W\); add the missing",
        ),
        ((1, 3, 31, 64), 3, "got an image of 31x64 pixels, the smallest is 32x32; resize or pad"),
        ((1, 3, 64, 8), 3, "got an image of 64x8 pixels, the smallest is 32x32"),
    ],
)
def test_unfit_images_are_refused(shape, in_channels, message):
    with pytest.raises(ValueError, match=message):
        check_image(torch.zeros(shape), in_channels)


def test_smallest_image_passes():
    assert check_image(torch.zeros(1, 3, 32, 32), 3) is None
