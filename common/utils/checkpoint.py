"""Checkpoints: written whole or not at all, read without executing anything, loaded strictly."""

from __future__ import annotations

import pickle
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.utils.files import write_atomic

__all__ = ["LoadReport", "load_state", "load_weights_only", "save_atomic", "tensors_of"]

WRAPPERS = ("state_dict", "model", "network")
ZIP_HEADER = b"PK\x03\x04"
LISTED = 5  # keys named in a message before "and n more"
RESNETS = {  # kind of block and blocks per stage
    "basic 2 2 2 2": "resnet18",
    "basic 3 4 6 3": "resnet34",
    "bottleneck 3 4 6 3": "resnet50",
    "bottleneck 3 4 23 3": "resnet101",
    "bottleneck 3 8 36 3": "resnet152",
}


@dataclass(frozen=True)
class LoadReport:
    """What a strict load did.

    Attributes:
        source: where the tensors came from, for people.
        loaded: number of tensors copied into the network.
        notes: what was converted or filled in on the way, one sentence each.
    """

    source: str
    loaded: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "; ".join([f"loaded {self.loaded} tensors from {self.source}", *self.notes])


def save_atomic(obj: Any, path: str | Path) -> None:
    """Save with ``torch.save`` so that a kill or a full disk leaves the earlier file as it was.

    Args:
        obj: tensors, numbers, text, and lists and dictionaries of them: what :func:`load_weights_only` can read back.
        path: target file; its folder is made if needed.

    Raises:
        OSError: if the file could not be written; nothing half-written stays behind.
    """
    try:
        write_atomic(path, lambda file: torch.save(obj, file))
    except RuntimeError as error:  # torch's zip writer says so when the disk fills up between two tensors
        raise OSError(
            f"could not write {path} ({error}); an earlier file is intact. Free some space or choose another folder"
        ) from error


def load_weights_only(path: str | Path) -> Any:
    """Read what ``torch.save`` wrote, on the CPU; nothing in the file is executed.

    Args:
        path: file of tensors, numbers, text, and lists and dictionaries of them.

    Returns:
        The saved object.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, a TorchScript archive, or holds anything but plain weights.
    """
    path = Path(path)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"checkpoint {path} {kind}; expected a file written by training, e.g. models/model.pt")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged byte can make the reader stumble over anything
        raise ValueError(_why_unreadable(path, error)) from None  # torch's text advises to switch the protection off


def tensors_of(content: Any, source: str) -> dict[str, Tensor]:
    """Take the state dict out of what a checkpoint file holds.

    Args:
        content: a state dict, bare or under ``state_dict``, ``model`` or ``network``; a ``module.`` before every key
            (left there by DataParallel) is dropped.
        source: where it came from, for the message.

    Returns:
        Tensors by key.

    Raises:
        ValueError: if no state dict is found.
    """
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        keys = _listed([str(key) for key in content]) or "no keys" if isinstance(content, Mapping) else ""
        held = f"dictionary with {keys}" if keys else type(content).__name__
        raise ValueError(
            f"{source} holds a {held}, expected a state dict: tensors by name, bare or under {', '.join(WRAPPERS)}"
        )
    if all(key.startswith("module.") for key in content):
        return {key.removeprefix("module."): value for key, value in content.items()}
    return dict(content)


def load_state(
    module: nn.Module, state: Mapping[str, Any], source: str | Path, skip: Collection[str] = ()
) -> LoadReport:
    """Copy a state dict into a module if, and only if, every key and shape fits.

    Args:
        module: the module to fill; untouched if the state does not fit.
        state: see :func:`tensors_of`. Counters of batch norms may be missing, as in files of early PyTorch.
        source: where it came from, for report and message.
        skip: keys that are left as they are in the module, whatever the state holds for them.

    Returns:
        What was done.

    Raises:
        ValueError: listing missing, unexpected and mis-shaped keys, and what the state looks like.
    """
    tensors = tensors_of(state, str(source))
    own = module.state_dict()
    counters = [key for key in own if key not in tensors and key.endswith(".num_batches_tracked")]
    kept = {*counters, *skip} & own.keys()
    missing = [key for key in own if key not in tensors and key not in kept]
    unexpected = [key for key in tensors if key not in own and key not in kept]
    misshaped = [
        f"{key} is {tuple(tensors[key].shape)}, expected {tuple(own[key].shape)}"
        for key in own
        if key in tensors and key not in kept and tensors[key].shape != own[key].shape
    ]
    if missing or unexpected or misshaped:
        found = [("missing", missing), ("unexpected", unexpected), ("of another shape", misshaped)]
        wrong = "; ".join(f"{len(keys)} {kind}: {_listed(keys)}" for kind, keys in found if keys)
        raise ValueError(
            f"{source} does not fit {type(module).__name__}: {wrong}. It holds {_describe(tensors)}, the network is "
            f"{_describe(own)}; build the network that the file was made with, or choose another file"
        )
    module.load_state_dict({**tensors, **{key: own[key] for key in kept}}, strict=True)
    notes = (f"{len(counters)} batch-norm counters not in the file, kept",) if counters else ()
    return LoadReport(str(source), len(own) - len(kept), notes)


def _why_unreadable(path: Path, error: Exception) -> str:
    """Tell a refused pickle from a damaged file."""
    if "TorchScript" in str(error):
        return f"{path} is a TorchScript export; expected the state dict it was made from, e.g. models/model.pt"
    with path.open("rb") as file:
        head = file.read(4)
    torn = head.startswith(b"PK") and head != ZIP_HEADER
    if isinstance(error, pickle.UnpicklingError) and not torn:
        return (
            f"{path} holds something other than plain weights; nothing in it was executed. Expected tensors, numbers "
            "and text, as torch.save(network.state_dict(), path) writes them; ask its author for such a file"
        )
    size = path.stat().st_size
    return f"{path} ({size} bytes) is truncated or damaged; copy it again or go back to an earlier checkpoint"


def _describe(tensors: Mapping[str, Tensor]) -> str:
    """Say in words what a state dict looks like."""
    prefix = "classifier." if any(key.startswith("classifier.") for key in tensors) else ""
    stem, last = tensors.get(f"{prefix}conv1.weight"), tensors.get(f"{prefix}fc.weight")
    details = [] if last is None else [f"{last.shape[0]} classes"]
    if stem is not None:
        details.append(f"{stem.shape[1]} image channels")
    if any(key.startswith("explainer.") for key in tensors):
        details.append("an explainer")
    name = _resnet_name(tensors, prefix) or f"network of {len(tensors)} tensors"
    return f"a {name}" + (f" with {', '.join(details)}" if details else "")


def _resnet_name(tensors: Mapping[str, Tensor], prefix: str) -> str | None:
    """Recognise a ResNet by its number of blocks and their kind."""
    first_convolution = re.compile(re.escape(prefix) + r"layer([1-4])\.\d+\.conv1\.weight")
    stages = [match.group(1) for key in tensors if (match := first_convolution.fullmatch(key))]
    kind = "bottleneck" if f"{prefix}layer1.0.conv3.weight" in tensors else "basic"
    return RESNETS.get(f"{kind} {' '.join(str(stages.count(stage)) for stage in '1234')}")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
