"""Two views of an image that differ by chance."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import Compose
from monai.transforms.transform import MapTransform, Randomizable

__all__ = ["TwoViewsd"]


class TwoViewsd(MapTransform, Randomizable):
    """Apply random transforms to an image twice, each time by chance: once for a student, once for its teacher.

    The item gets the second view under ``original``. If it has an ``original`` already, the second view is made of
    that: after :class:`common.data.AffineViewd` the views differ by its movement, too. Put what both views shall share,
    such as flips, before it.

    Args:
        keys: the image (C,H,W).
        transforms: dictionary transforms of the image; without change of its places, unless the movement is small.
        name: key of the second view.
    """

    def __init__(self, keys: KeysCollection, transforms: Sequence[Callable[..., Any]], name: str = "original") -> None:
        super().__init__(keys)
        self.transforms = Compose(list(transforms))
        self.name = name

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> TwoViewsd:
        """Seed all transforms."""
        super().set_random_state(seed, state)
        self.transforms.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the item with both views."""
        item = dict(data)
        for key in self.key_iterator(item):
            second = item.get(self.name, item[key])
            item[key] = self._view(key, item[key])
            item[self.name] = self._view(key, second)
        return item

    def _view(self, key: Hashable, image: Any) -> Any:
        made: Any = self.transforms({key: image})
        return made[key]
