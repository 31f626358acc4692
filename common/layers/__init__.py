"""Small parametrised modules and tensor functions that networks are built from."""

from common.layers.convolution import double_conv
from common.layers.gating import GatedStage, gate, pool_map
from common.layers.image_check import MIN_IMAGE_SIZE, check_image

__all__ = ["MIN_IMAGE_SIZE", "GatedStage", "check_image", "double_conv", "gate", "pool_map"]
