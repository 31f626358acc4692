import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.explain import class_heatmap, ordinary_similarity, similarity_range
from common.layers import PrototypeLayer, class_map_of

# one image, four prototypes, of classes 0, 0, 1, 1, on a map of 1 x 3
MAPS = torch.tensor([[0.2, 0.8, 0.4], [0.6, 0.4, 0.4], [0.1, 1.0, 0.5], [0.9, 0.3, 0.5]]).reshape(1, 4, 1, 3)
CLASSES = torch.tensor([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("index", "weight", "options", "expected"),
    [
        (0, [1, 1, 1, 1], {}, [0.6, 0.8, 0.4]),
        (1, [1, 1, 1, 1], {}, [0.9, 1.0, 0.5]),
        (0, [3, 0, 1, 1], {}, [0.2, 0.8, 0.4]),  # weight 0 says nothing, however similar
        (0, [0, 0, 1, 1], {}, [0.0, 0.0, 0.0]),
        (0, [1, 1, 1, 1], {"lowest": 0.4}, [1 / 3, 2 / 3, 0.0]),
        (1, [1, 1, 1, 1], {"lowest": 0.5, "highest": 0.9}, [1.0, 1.0, 0.0]),
        (0, [1, 3, 1, 1], {"combine": "mean"}, [0.5, 0.5, 0.4]),  # (0.2 + 3 · 0.6) / 4, (0.8 + 3 · 0.4) / 4
        (0, [1, 3, 1, 1], {"combine": "mean", "top_k": 1}, [0.6, 0.4, 0.4]),  # the largest weight times similarity
        (0, [1, 0, 1, 1], {"combine": "mean"}, [0.2, 0.8, 0.4]),
        (0, [0, 0, 1, 1], {"combine": "mean"}, [0.0, 0.0, 0.0]),
    ],
)
def test_heatmaps_by_pencil(index, weight, options, expected):
    heatmap = class_heatmap(MAPS, torch.tensor(weight), CLASSES, torch.tensor([index]), **options)
    assert heatmap.shape == (1, 1, 3)
    assert heatmap.flatten().tolist() == pytest.approx(expected)


@given(st.integers(0, 10_000), st.sampled_from(["max", "mean"]))
def test_a_map_does_not_depend_on_the_other_images_of_a_batch(seed, combine):
    generator = torch.Generator().manual_seed(seed)
    maps, weight = torch.rand(3, 7, 4, 2, generator=generator), torch.rand(7, generator=generator)
    class_map, index = torch.tensor([0, 0, 1, 1, 1, 2, 2]), torch.tensor([2, 0, 1])
    together = class_heatmap(maps, weight, class_map, index, combine)
    alone = [class_heatmap(maps[i : i + 1], weight, class_map, index[i : i + 1], combine)[0] for i in range(3)]
    assert torch.equal(together, torch.stack(alone))
    assert 0 <= float(together.min()) <= float(together.max()) <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"combine": "maximum"}, "combine is 'maximum', expected one of max, mean"),
        ({"top_k": 0}, "top_k is 0, expected 1 prototype or more"),
        ({"lowest": 1.0}, "expected a lowest similarity below the highest"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        class_heatmap(MAPS, torch.ones(4), CLASSES, torch.tensor([0]), **options)


@pytest.mark.parametrize(
    ("form", "scale", "expected"),
    [
        ("exp_l2", None, (np.exp(-1), 1.0)),  # squared distance 8 at most, divided by 8
        ("exp_l2", 2.0, (np.exp(-4), 1.0)),
        ("log_l2", None, (np.log(9 / 8.0001), np.log(1 / 1e-4))),
        ("cosine", None, (0.0, 1.0)),
    ],
)
def test_the_range_holds_every_similarity(form, scale, expected):
    layer = PrototypeLayer(class_map_of(2, 3), 8, form, scale)
    lowest, highest = similarity_range(layer)
    assert (lowest, highest) == pytest.approx(expected, abs=1e-5)
    with torch.no_grad():
        layer.vectors[:2] = torch.tensor([0.0, 1.0])[:, None]
        similarity = layer.similarity_of(layer(torch.cat([torch.rand(3, 8, 2, 2), torch.ones(1, 8, 2, 2)])))
    assert lowest - 1e-5 <= float(similarity.min())
    assert float(similarity.max()) <= highest + 1e-5


def test_an_ordinary_place_is_the_median_one():
    maps = np.array([[[0.5, 0.6, 1.0]], [[0.7, 0.6, 1.0]], [[0.2, 0.3, 1.0]]], np.float16)
    assert ordinary_similarity(maps, 0.0) == pytest.approx(0.6, abs=1e-3)
    assert ordinary_similarity(maps, 0.65) == 0.65
    assert ordinary_similarity(np.ones((2, 3, 3), np.float16), 0.3) == 0.3, "no scale is left where all is alike"
