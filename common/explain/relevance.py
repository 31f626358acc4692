"""Where the reasons for a class are, as a map: of a network's prototypes, or of an attribution method."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from common.explain.baselines import Attribution
from common.explain.class_heatmap import class_heatmap, ordinary_similarity, similarity_range
from common.explain.prototype_files import PROTOTYPE_FILE, PrototypeBook, load_prototypes
from common.layers import ClassConnectedLinear, PrototypeLayer
from common.utils.choices import check_choice

__all__ = ["AttributionRelevance", "HeatmapRelevance", "Relevance"]


class Relevance(Protocol):
    """What reports measure: a map of a batch of images."""

    def __call__(self, output: Mapping[str, Tensor], batch: Mapping[str, Any], index: Tensor | None = None) -> Tensor:
        """Draw the maps.

        Args:
            output: what the network's ``explain`` returned for the batch.
            batch: the batch, with "image" (B,D,H,W).
            index: class that is asked for, of each image its own (B,), int64; None for the predicted ones.

        Returns:
            (B,1,h,w), at least 0, over the whole image in any resolution.
        """
        ...


class HeatmapRelevance:
    """The heat-map of a class's prototypes, as the explanations show it (:func:`common.explain.class_heatmap`).

    Args:
        prototypes: the network's prototypes, as they are when a map is drawn.
        last_layer: their weights.
        folder: where the projection has left its files: they say how similar an ordinary place is, which is 0 on the
            map. None, or files of other prototypes, takes the least similarity there can be.
        combine: how similarity maps are put together, "max" or "mean".
    """

    def __init__(
        self,
        prototypes: PrototypeLayer,
        last_layer: ClassConnectedLinear,
        folder: str | Path | None = None,
        combine: str = "max",
    ) -> None:
        check_choice("combine", combine, ("max", "mean"))
        self.prototypes = prototypes
        self.last_layer = last_layer
        self.folder = None if folder is None else Path(folder)
        self.combine = combine

    def __call__(self, output: Mapping[str, Tensor], batch: Mapping[str, Any], index: Tensor | None = None) -> Tensor:
        """Draw the maps from the outputs "similarity_map" (B,P,h,w) and "probability" (B,C); see :class:`Relevance`.

        Raises:
            ValueError: if the network has no prototypes.
        """
        if "similarity_map" not in output:
            raise ValueError(
                f"the network's outputs are {', '.join(output)}, expected 'similarity_map' among them; "
                "HeatmapRelevance is for networks with prototypes"
            )
        maps, layer = output["similarity_map"], self.last_layer
        chosen = output["probability"].argmax(dim=1) if index is None else index
        lowest, highest = self._scale()
        weight, class_map = layer.weight.detach().to(maps.device), layer.class_map.to(maps.device)
        heatmap = class_heatmap(
            maps, weight, class_map, chosen.to(maps.device), self.combine, lowest=lowest, highest=highest
        )
        return heatmap.unsqueeze(1)

    def _scale(self) -> tuple[float, float]:
        lowest, highest = similarity_range(self.prototypes)
        book = self._book
        if book is not None and book.describes(self.prototypes.vectors):
            lowest = ordinary_similarity(book.self_maps, lowest)
        return lowest, highest

    @cached_property
    def _book(self) -> PrototypeBook | None:
        if self.folder is None or not (self.folder / PROTOTYPE_FILE).is_file():
            return None
        return load_prototypes(self.folder)


class AttributionRelevance:
    """A post-hoc baseline (:class:`common.explain.Attribution`) of a network, or of a part of it.

    Args:
        network: in evaluation mode; from images to logits. Where two branches share a stem, one of them alone is
            ``torch.nn.Sequential(network.stem, network.teacher)``.
        method: one of ``common.explain.BASELINES``.
        seed: of a random map.

    Raises:
        ValueError: for an unknown method.
    """

    def __init__(self, network: nn.Module, method: str = "gradcam", seed: int = 0) -> None:
        self.network = network
        self.attribution = Attribution(method, seed=seed)

    def __call__(self, output: Mapping[str, Tensor], batch: Mapping[str, Any], index: Tensor | None = None) -> Tensor:
        """Draw the maps; see :class:`Relevance`. Without ``index`` of the classes that this network predicts."""
        return self.attribution(self.network, batch["image"], index)
