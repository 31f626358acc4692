"""Feature extractors by name, cut where two branches can part."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from common.networks.backbones import SPLIT_BACKBONES, split_backbone
from common.networks.efficientnet import EFFICIENTNETS, split_efficientnet
from common.networks.small_trunk import WIDTHS, split_small
from common.utils.checkpoint import load_state, load_weights_only, tensors_of
from common.utils.choices import check_choice

__all__ = ["SHARED", "TRUNKS", "Trunk", "build_trunk", "own_parts"]

TRUNKS = (*WIDTHS, *EFFICIENTNETS, *SPLIT_BACKBONES)
SHARED = ("nothing", "stem", "trunk")


class Trunk(NamedTuple):
    """A feature extractor in two parts.

    Attributes:
        stem: image (B,C,H,W) to the first feature.
        body: the first feature to the feature map (B,D,h,w).
        channels: D.
    """

    stem: nn.Module
    body: nn.Module
    channels: int


def build_trunk(
    name: str = "efficientnet-b0", in_channels: int = 3, weights: str | Path | None = None, dense: bool = False
) -> Trunk:
    """Build a feature extractor.

    Args:
        name: ``"tiny"`` or ``"small"``, ``"efficientnet-b0"`` to ``-b7``, or one of
            ``common.networks.backbones.SPLIT_BACKBONES``.
        in_channels: image channels C.
        weights: start weights, see :func:`common.networks.efficientnet.split_efficientnet` and
            :func:`common.networks.backbones.split_backbone`; or the model.pt of a
            :class:`common.networks.PlainClassifier` with this backbone, of which the trunk is taken.
        dense: twice as fine a feature map from the same weights, for localisation: stride 16 instead of 32 (``small``:
            8 instead of 16, ``tiny``: 4 instead of 8).

    Returns:
        The extractor.

    Raises:
        ValueError: for an unknown name, weights that do not fit, or others' weights for ``tiny`` or ``small``, which
            have none.
    """
    check_choice("backbone", name, TRUNKS)
    own = _trunk_of_plain(weights)
    if own:
        trunk = build_trunk(name, in_channels, None, dense)
        load_state(nn.ModuleDict({"1": trunk.stem, "2": trunk.body}), own, source=f"the trunk of {weights}")
        return trunk
    if name in WIDTHS:
        if weights is not None:
            raise ValueError(f"weights is {str(weights)!r}, but no trained weights exist for '{name}'; use null")
        return Trunk(*split_small(name, in_channels, dense))
    if name in EFFICIENTNETS:
        return Trunk(*split_efficientnet(name, in_channels, weights, dense))
    return Trunk(*split_backbone(name, in_channels, weights, dense))


def _trunk_of_plain(weights: str | Path | None) -> dict[str, Tensor]:
    """Return stem and body in the weights of a plain network; empty for any others."""
    if weights is None or not Path(weights).is_file():
        return {}
    state = tensors_of(load_weights_only(weights), source=str(weights))
    if not any(key.startswith("head.") for key in state):
        return {}
    return {
        key.removeprefix("trunk."): value for key, value in state.items() if key.startswith(("trunk.1.", "trunk.2."))
    }


def own_parts(trunk: Trunk, shared: str, normalisation: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Give a branch the parts that it does not share with others.

    Args:
        trunk: the whole extractor.
        shared: what is computed outside, once for all branches: ``"nothing"``, the ``"stem"`` or the whole ``"trunk"``.
        normalisation: applied to the image before the stem.

    Returns:
        Stem and body of the branch; identities where they are shared.

    Raises:
        ValueError: if ``shared`` is none of these.
    """
    check_choice("shared", shared, SHARED)
    stem = nn.Sequential(normalisation, trunk.stem) if shared == "nothing" else nn.Identity()
    return stem, nn.Identity() if shared == "trunk" else trunk.body
