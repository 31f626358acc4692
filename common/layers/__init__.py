"""Small parametrised modules and tensor functions that networks are built from."""

from common.layers.gating import GatedStage, gate, pool_map
from common.layers.image_check import MIN_IMAGE_SIZE, check_image

__all__ = ["MIN_IMAGE_SIZE", "GatedStage", "check_image", "gate", "pool_map"]
