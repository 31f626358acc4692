import pytest
import torch

from common.explain.fills import FILLS, fill_images, gaussian_blur


def test_constants():
    image = torch.rand(2, 3, 5, 6)
    fills = fill_images(image, ["black", "white", "gray", "mean"], mean=[0.1, 0.2, 0.3])
    assert fills.shape == (4, 2, 3, 5, 6)
    for fill, values in zip(fills, ([0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3]), strict=True):
        torch.testing.assert_close(fill, torch.tensor(values).view(1, 3, 1, 1).float().expand_as(image))


def test_uniform_noise_is_seeded_and_the_same_for_every_image():
    image = torch.rand(2, 3, 5, 6)
    noise = fill_images(image, ["uniform"], seed=1)[0]
    assert torch.equal(noise[0], noise[1])
    assert torch.equal(noise, fill_images(image, ["uniform"], seed=1)[0])
    assert not torch.equal(noise, fill_images(image, ["uniform"], seed=2)[0])
    assert noise.min() >= 0
    assert noise.max() < 1


def test_blur_spreads_a_point_as_the_gaussian_does():
    image = torch.zeros(1, 1, 25, 25)
    image[0, 0, 12, 12] = 1
    blurred = gaussian_blur(image, 2.0)[0, 0]
    ratio = torch.exp(torch.tensor(-((3**2 + 1**2) / (2 * 2.0**2))))
    torch.testing.assert_close(blurred[15, 13] / blurred[12, 12], ratio)
    torch.testing.assert_close(blurred.sum(), torch.tensor(1.0))
    torch.testing.assert_close(blurred, blurred.T)


def test_blur_keeps_constants_up_to_the_border_and_channels_apart():
    image = torch.tensor([0.2, 0.9]).view(1, 2, 1, 1).expand(1, 2, 7, 9)
    torch.testing.assert_close(gaussian_blur(image, 3.0), image)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kinds": []}, "at least one of"),
        ({"kinds": "black"}, "expected a list"),
        ({"kinds": ["grey"]}, "did you mean 'gray'"),
        ({"kinds": ["blur"], "blur_sigma": 0}, "blur_sigma is 0"),
        ({"kinds": ["mean"]}, "one number per image channel"),
        ({"kinds": ["mean"], "mean": [0.5]}, "1 values for images of 3 channels"),
    ],
)
def test_bad_options_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        fill_images(torch.rand(1, 3, 4, 4), **arguments)


def test_every_fill_keeps_dtype_and_range():
    image = torch.rand(1, 2, 6, 6, dtype=torch.double)
    fills = fill_images(image, FILLS, mean=[0.5, 0.5])
    assert fills.dtype == torch.double
    assert fills.min() >= 0
    assert fills.max() <= 1
