import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.aopc import settled_network
from common.explain.local_update import LocalExplainer, Window
from common.networks import ExplainerUNet


@pytest.fixture(scope="module")
def explainer():
    torch.manual_seed(0)
    return settled_network().explainer


@st.composite
def _changes(draw):
    height, width = draw(st.integers(32, 75)), draw(st.integers(32, 101))
    windows = []
    for _ in range(draw(st.integers(1, 4))):
        patch = draw(st.integers(1, 20))
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        windows.append(Window(top, min(top + patch, height), left, min(left + patch, width)))
    return height, width, windows


@settings(deadline=None, max_examples=15)
@given(_changes())
def test_local_updates_equal_the_whole_explainer(explainer, change):
    height, width, windows = change
    copies = 2
    image = torch.rand(1, 3, height, width)
    local = LocalExplainer(explainer, image, copies)
    images = image.repeat(copies, 1, 1, 1)
    for window in windows:
        images = images.clone()
        window.of(images).copy_(torch.rand_like(window.of(images)))
        drawn = local.update(images, window)
        with torch.no_grad():
            torch.testing.assert_close(drawn, explainer(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize("corner", [(0, 0), (0, 95), (70, 0), (70, 95)])
def test_patches_at_the_border_change_the_padding_too(explainer, corner):
    image = torch.rand(1, 3, 75, 101)
    local = LocalExplainer(explainer, image)
    window = Window(corner[0], min(corner[0] + 8, 75), corner[1], min(corner[1] + 8, 101))
    changed = image.clone()
    window.of(changed).fill_(1)
    with torch.no_grad():
        expected = explainer(changed)
        assert (expected - explainer(image)).abs().max() > 1e-3
    torch.testing.assert_close(local.update(changed, window), expected, atol=1e-5, rtol=0)


def test_maps_handed_out_do_not_change_later(explainer):
    image = torch.rand(1, 3, 40, 40)
    local = LocalExplainer(explainer, image)
    first = local.update(image, Window(0, 8, 0, 8))
    kept = first.clone()
    local.update(torch.ones_like(image), Window(0, 40, 0, 40))
    assert torch.equal(first, kept)


def test_training_mode_is_refused():
    with pytest.raises(ValueError, match="ExplainerUNet is in training mode"):
        LocalExplainer(ExplainerUNet(), torch.rand(1, 3, 32, 32))
