import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.data.corruptions import CORRUPTIONS, STRENGTHS, corrupt

CASES = ["a", "b"]


def images(channels=3, size=48):
    """Smooth waves with a bright square, (2,D,size,size) between 0.2 and 0.8."""
    x = torch.linspace(0, 6, size)
    wave = 0.5 + 0.15 * torch.sin(x)[:, None] * torch.cos(2 * x)[None]
    image = torch.stack([wave, wave.T])[:, None].repeat(1, channels, 1, 1)
    image[:, :, 10:20, 10:20] += 0.15
    return image


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_higher_strengths_leave_less_of_the_image(kind, channels):
    image = images(channels)
    original = image.clone()
    distance = [(corrupt(image, kind, s, CASES) - image).square().mean().sqrt().item() for s in (0, *STRENGTHS)]
    assert distance[0] == 0
    assert distance == sorted(distance)
    assert len(set(distance)) == 6
    assert torch.equal(image, original)


@settings(deadline=None, max_examples=20)
@given(kind=st.sampled_from(sorted(CORRUPTIONS)), strength=st.sampled_from(STRENGTHS), seed=st.integers(0, 99))
def test_results_are_images_and_repeatable(kind, strength, seed):
    image = torch.rand(2, 3, 16, 20, generator=torch.Generator().manual_seed(seed))
    first = corrupt(image, kind, strength, CASES, seed)
    assert first.shape == image.shape
    assert first.dtype == image.dtype
    assert 0 <= first.min() <= first.max() <= 1
    torch.manual_seed(seed)  # the global state decides nothing
    assert torch.equal(corrupt(image, kind, strength, CASES, seed), first)


def test_noise_belongs_to_the_case_and_grows_with_strength():
    image = torch.full((2, 1, 32, 32), 0.5)
    weak, strong = (corrupt(image, "gaussian_noise", strength, CASES) - image for strength in (1, 2))
    assert torch.allclose(strong.clamp(-0.4, 0.4), (2 * weak).clamp(-0.4, 0.4), atol=1e-6)
    assert weak.std().item() == pytest.approx(0.05, rel=0.05)
    alone = corrupt(image[1:], "gaussian_noise", 1, ["b"]) - 0.5
    assert torch.equal(alone[0], weak[1])
    assert not torch.equal(weak[0], weak[1])
    assert not torch.equal(
        corrupt(image, "gaussian_noise", 1, CASES, seed=1), corrupt(image, "gaussian_noise", 1, CASES)
    )


def test_contrast_keeps_the_mean_and_scales_the_spread():
    image = images()
    changed = corrupt(image, "contrast", 4, CASES)
    assert torch.allclose(changed.mean((1, 2, 3)), image.mean((1, 2, 3)), atol=1e-6)
    assert torch.allclose(changed.std((1, 2, 3)), 0.3 * image.std((1, 2, 3)), atol=1e-6)


def test_blur_of_a_step_is_the_gaussian_integral():
    image = torch.zeros(1, 1, 100, 100)
    image[..., 50:] = 1
    changed = corrupt(image, "blur", 5, ["a"])  # 2.4 pixels
    # sampled at pixel centres, half a pixel from the step and 4.5 pixels from it
    expected = torch.distributions.Normal(0.0, 2.4).cdf(torch.tensor([0.5, 4.5]))
    assert torch.allclose(changed[0, 0, 50, [50, 54]], expected, atol=2e-3)
    assert torch.allclose(changed[..., 0], torch.zeros(()), atol=1e-4)
    assert torch.allclose(changed[..., -1], torch.ones(()), atol=1e-4)  # nothing dark comes in over the border
    assert torch.equal(changed[0, 0, 0], changed[0, 0, 99])


def test_jpeg_keeps_flat_images_and_the_order_of_channels():
    flat = torch.tensor([0.2, 0.5, 0.8])[None, :, None, None].expand(1, 3, 32, 32)
    for strength in STRENGTHS:
        assert torch.allclose(corrupt(flat, "jpeg", strength, ["a"]), flat, atol=0.08)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("noise", 1, CASES), "kind is 'noise', expected one of gaussian_noise, blur, contrast, jpeg"),
        (("blur", 6, CASES), "strength is 6, expected 1 to 5"),
        (("blur", 1, ["a"]), "1 case_ids for 2 images"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        corrupt(images(), *arguments)
