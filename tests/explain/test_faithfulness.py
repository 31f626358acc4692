import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.aopc import settled_network
from common.explain.faithfulness import MAP_VARIANTS, map_dependence, map_variants, shuffle_patches


class MeanOfMap:
    """Predicts class 1 if the map's mean is above a half, and looks at nothing else; the map is the first channel."""

    def __call__(self, image):
        return self.classify(image, self.explanation(image))

    def explanation(self, image):
        return image[:, :1]

    def classify(self, image, explanation):
        score = explanation.mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([-score, score], dim=1)


def test_accuracies_by_pencil():
    # maps of constant 0.2 and 0.8, labels 0 and 1
    image = torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    correct = map_dependence(MeanOfMap(), image, torch.tensor([0, 1]), patch=4)
    assert {name: value.tolist() for name, value in correct.items()} == {
        "own": [1, 1],
        "binarised": [1, 1],
        "swapped": [0, 0],
        "scattered": [1, 1],
        "inverted": [0, 0],
        "ones": [0, 1],
        "zeros": [1, 0],
    }


def test_variants_by_pencil():
    maps = torch.tensor([[0.0, 0.5], [0.9, 0.2]]).view(2, 1, 1, 2)
    variants = map_variants(maps, patch=1)
    assert tuple(variants) == MAP_VARIANTS
    assert variants["binarised"].flatten().tolist() == [0, 1, 1, 0]
    assert torch.equal(variants["swapped"], maps.flip(0))
    torch.testing.assert_close(variants["inverted"].flatten(), torch.tensor([1.0, 0.5, 0.1, 0.8]))
    assert torch.equal(map_variants(maps, others=maps * 0)["swapped"], maps * 0)


def test_an_image_alone_has_nothing_to_swap_with():
    image = torch.rand(1, 3, 8, 8)
    assert map_dependence(MeanOfMap(), image, torch.tensor([0]))["swapped"].isnan().all()
    given_other = map_dependence(MeanOfMap(), image, torch.tensor([0]), others=torch.zeros(1, 1, 8, 8))
    assert given_other["swapped"].tolist() == [1]


@settings(deadline=None)
@given(rows=st.integers(1, 4), columns=st.integers(1, 4), patch=st.integers(1, 5), seed=st.integers(0, 99))
def test_scattering_moves_whole_patches_and_loses_none(rows, columns, patch, seed):
    height, width = rows * patch, columns * patch
    maps = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(seed))

    def patches(one):
        blocks = one.view(rows, patch, columns, patch).permute(0, 2, 1, 3).flatten(0, 1)
        return sorted(block.flatten().tolist() for block in blocks)

    moved = shuffle_patches(maps, patch, seed)
    assert patches(moved[0, 0]) == patches(maps[0, 0])
    assert torch.equal(moved, shuffle_patches(maps, patch, seed))


def test_scattering_takes_any_size_and_moves_something():
    maps = torch.rand(2, 1, 37, 50)
    moved = shuffle_patches(maps, 16)
    assert moved.shape == maps.shape
    assert not torch.equal(moved, maps)
    constant = torch.full((1, 1, 7, 9), 0.3)
    torch.testing.assert_close(shuffle_patches(constant, 4), constant)


def test_a_real_network_is_asked_with_each_map():
    model = settled_network()
    image = torch.rand(3, 3, 40, 33)
    with torch.no_grad():
        own = model(image).argmax(dim=1)
        zeros = model.classify(image, torch.zeros(3, 1, 40, 33)).argmax(dim=1)
    correct = map_dependence(model, image, own)
    assert set(correct) == set(MAP_VARIANTS)
    assert correct["own"].tolist() == [1, 1, 1]
    assert correct["zeros"].tolist() == (zeros == own).float().tolist()


def test_bad_input_is_named():
    image = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"label has shape \(1,\), expected \(2,\)"):
        map_dependence(MeanOfMap(), image, torch.tensor([0]))
    with pytest.raises(ValueError, match="others has shape"):
        map_dependence(MeanOfMap(), image, torch.tensor([0, 1]), others=torch.zeros(1, 1, 8, 8))
    with pytest.raises(ValueError, match="training mode"):
        map_dependence(settled_network().train(), image, torch.tensor([0, 1]))
