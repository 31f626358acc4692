"""A stride becomes a dilation: the old map is every second row and column of the new one."""

import copy

import pytest
import torch
from torch import nn

from common.layers.dilation import remove_stride


@torch.no_grad()
@pytest.mark.parametrize("size", [8, 9, 12])
def test_the_old_map_is_in_the_new_one(size):
    stage = nn.Sequential(
        nn.Conv2d(2, 3, 1), nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 5, padding=2)
    )
    fine = copy.deepcopy(stage)
    remove_stride(fine)
    image = torch.rand(1, 2, size, size)
    coarse, dense = stage(image), fine(image)
    assert dense.shape[2:] == image.shape[2:]
    torch.testing.assert_close(dense[:, :, ::2, ::2], coarse)


def test_no_stride_is_refused():
    with pytest.raises(ValueError, match="no convolution with stride 2"):
        remove_stride(nn.Sequential(nn.Conv2d(2, 2, 3)))
