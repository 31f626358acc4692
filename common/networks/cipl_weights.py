"""Read the checkpoints that the authors of CIPL published.

They are to be fetched by hand from the authors' page; nothing here fetches them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from common.networks.backbones import DENSENET_KEY
from common.networks.cipl_net import CIPLNet
from common.utils.checkpoint import LoadReport, load_state, load_weights_only, tensors_of

__all__ = ["load_published_cipl"]

#: Where the parts of their DenseNet-121 are in the trunk: behind the normalisation, in stem and body.
STEM = ("conv0", "norm0")
BODY = ("denseblock1", "transition1", "denseblock2", "transition2", "denseblock3", "transition3", "denseblock4")
PLACES = {name: f"trunk.1.{STEM.index(name)}." for name in STEM} | {
    name: f"trunk.2.{BODY.index(name)}." for name in BODY
}
#: Keys of what has no part in a prediction: the final norm, the kernel of ones, the moving average that taught.
UNUSED = re.compile(
    r"features\.features\.norm5\.|ones$|features_ema\.|add_on_layers_ema\.|prototype_vectors_ema$|last_layer_ema\."
)


def load_published_cipl(network: CIPLNet, path: str | Path) -> LoadReport:
    """Fill a network with the weights of a published checkpoint, strictly.

    ``projected`` of the prototypes becomes false: the files do not say whether their vectors are parts of images.

    Args:
        network: ``CIPLNet("densenet121", num_classes=14)`` with the mean and std of ImageNet, for ChestX-ray14.
        path: the file.

    Returns:
        What was loaded and what was left out.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such checkpoint, fits another network, or connects prototypes with other classes.
    """
    published = tensors_of(load_weights_only(path), str(path))
    unused = [key for key in published if UNUSED.match(key)]
    own = network.state_dict()
    state = {key: own[key] for key in own if key.startswith("trunk.0.") or key.endswith("class_map")}
    state["prototypes.projected"] = torch.tensor(False)
    state |= {_own_key(key): value for key, value in published.items() if key not in unused}
    state |= _reshaped(state, own["last_layer.class_map"], network.last_layer.num_classes, str(path))
    report = load_state(network, state, str(path))
    left_out = f"{len(unused)} tensors left out that predictions do not use: final norm, ones, moving average"
    return replace(report, notes=(*report.notes, left_out))


def _own_key(key: str) -> str:
    """Return what a key of theirs is called here; unknown ones as they are, for the strict load to refuse."""
    if key == "prototype_vectors":
        return "prototypes.vectors"
    if key.startswith("features.toplayer."):
        return key.replace("features.toplayer.", "trunk.3.", 1)
    if key.startswith("add_on_layers."):
        return key.replace("add_on_layers.", "add_on.", 1)
    part, _, rest = key.removeprefix("features.features.").partition(".")
    return PLACES[part] + DENSENET_KEY.sub(r"\1\2", rest) if part in PLACES else key


def _reshaped(state: Mapping[str, Tensor], class_map: Tensor, num_classes: int, source: str) -> dict[str, Tensor]:
    """Return prototypes (P,D) and the weights (P,) that connect them with their own classes.

    Raises:
        ValueError: if a prototype is connected with another class, too.
    """
    reshaped = {}
    vectors, weight = state.get("prototypes.vectors"), state.get("last_layer.weight")
    if vectors is not None and vectors.ndim == 4 and vectors.shape[2:] == (1, 1):
        reshaped["prototypes.vectors"] = vectors[:, :, 0, 0]
    if weight is not None and weight.shape == (num_classes, len(class_map)):
        own = weight[class_map, torch.arange(len(class_map))]
        others = int(torch.count_nonzero(weight)) - int(torch.count_nonzero(own))
        if others:
            raise ValueError(
                f"{source} connects prototypes with {others} classes that are not theirs, expected weights of 0 there; "
                "this is no checkpoint of CIPL, or one with prototypes in another order"
            )
        reshaped["last_layer.weight"] = own
    return reshaped
