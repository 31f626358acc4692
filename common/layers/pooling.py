"""Where on its map a prototype fits best."""

# No postponed annotations in this file: TorchScript compiles its functions.

from torch import Tensor

__all__ = ["nearest_places"]


def nearest_places(distance: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """Find the places of smallest distance on each map.

    Every similarity falls with the distance, so these are the places of largest similarity too, and the similarity need
    be computed for them alone.

    Args:
        distance: distance maps (B,P,h,w).
        count: places k to find, at least 1; all of them where the map has fewer.

    Returns:
        Distances (B,P,k), ascending, and the flat indices row · w + column of their places (B,P,k), int64. Of equal
        distances any may be first.
    """
    flat = distance.flatten(2)
    if count == 1:
        smallest, place = flat.min(dim=2, keepdim=True)
        return smallest, place
    nearest, places = flat.topk(min(count, flat.shape[2]), dim=2, largest=False, sorted=True)
    return nearest, places
