"""UML's encoders by name, and published weights in them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from common.layers.normalisation import NORMS, FrozenNorm2d
from common.networks.backbones import read_weights
from common.networks.res2net import Res2NetEncoder
from common.networks.vgg_encoder import VGGEncoder
from common.utils.checkpoint import load_state, load_weights_only, tensors_of
from common.utils.choices import check_choice

__all__ = ["CHECKPOINT", "ENCODERS", "base_channels", "build_encoder", "check_options"]

ENCODERS = ("res2net50", "vgg16", "small")
CHECKPOINT = "checkpoint"
"""Stands for weights that are loaded into the whole network next, as inference does."""

STEMS = {"res2net50": "conv1.0.weight", "vgg16": "features.0.weight"}
SMALL_DEPTHS = (1, 1, 2, 2)
BASE_CHANNELS = 64

logger = logging.getLogger(__name__)


def base_channels(width: float) -> int:
    """Give the channels of UML's finest level at a width: 64 at width 1, always a multiple of 8.

    Args:
        width: multiplier of the published channels.

    Raises:
        ValueError: if ``width`` is not positive.
    """
    if not width > 0:
        raise ValueError(f"width is {width}, expected a positive multiplier of the published channels")
    return max(8, 8 * round(BASE_CHANNELS * width / 8))


def check_options(dropout: float, **counts: int) -> None:
    """Refuse numbers that no UML network can be built with.

    Args:
        dropout: probability, in [0,1).
        counts: numbers of classes by option, at least 2.

    Raises:
        ValueError: naming the option.
    """
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout is {dropout}, expected a probability in [0,1)")
    for name, count in counts.items():
        if count < 2:
            background = ", the background counted" if name == "num_structures" else ""
            raise ValueError(f"{name} is {count}, expected 2 or more{background}")


def build_encoder(
    name: str,
    in_channels: int = 3,
    base_channels: int = 64,
    stem_stride: int = 1,
    norm: str = "batch",
    weights: str | Path | None = None,
) -> Res2NetEncoder | VGGEncoder:
    """Build an encoder with four features, at 1, 1/2, 1/4 and 1/8 of the size after the stem.

    Args:
        name: ``"res2net50"`` (26w x 4s v1b), ``"vgg16"`` (with norms), or ``"small"``, a narrow VGG for the CPU.
        in_channels: image channels C; 1 or 3 with published weights, whose first convolution is summed over RGB for 1.
        base_channels: channels of the first feature of ``"small"``; the others have published numbers.
        stem_stride: 1 (first feature as large as the image) or 2.
        norm: ``"frozen"`` with published weights only, else ``"batch"`` or ``"group"``.
        weights: None for random ones; a file with the published keys: res2net50_v1b_26w_4s or timm's res2net50d,
            torchvision's vgg16_bn (for which ``"IMAGENET1K_V1"`` fetches it); ``"checkpoint"`` if a trained network
            is loaded over them next. Stages and heads of the file that the encoder lacks are dropped; the report,
            logged, says so. Everything else must fit.

    Returns:
        The encoder, He-normal initialised where no weights were loaded.

    Raises:
        ValueError: for unknown names, a norm that does not fit the weights, or weights that do not fit the encoder.
        FileNotFoundError: if ``weights`` is a path that does not exist.
    """
    check_choice("encoder", name, ENCODERS)
    check_choice("norm", norm, NORMS)
    if stem_stride not in (1, 2):
        raise ValueError(f"stem_stride is {stem_stride}, expected 1 (full resolution) or 2 (four times cheaper)")
    _check_weights(name, norm, weights)
    if name == "res2net50":
        encoder: Res2NetEncoder | VGGEncoder = Res2NetEncoder(in_channels, stem_stride, norm)
    elif name == "vgg16":
        encoder = VGGEncoder(in_channels, stem_stride=stem_stride, norm=norm)
    else:
        channels = [base_channels * factor for factor in (1, 2, 4, 8)]
        encoder = VGGEncoder(in_channels, channels, SMALL_DEPTHS, stem_stride, norm)
    if weights is not None and weights != CHECKPOINT:
        _load(encoder, name, in_channels, weights)
    return encoder


def _check_weights(name: str, norm: str, weights: str | Path | None) -> None:
    if name == "small" and (norm == "frozen" or weights not in (None, CHECKPOINT)):
        raise ValueError(
            f"norm is {norm!r} and weights is {weights!r}, but no published weights exist for the small encoder; use "
            "norm 'batch' or 'group' and no weights"
        )
    if norm == "frozen" and weights is None:
        raise ValueError(
            "norm is 'frozen', but weights is null: without published statistics the encoder would have no "
            f"normalisation at all. Give a file of published weights, '{CHECKPOINT}' if a trained network is loaded "
            "next (inference), or use norm 'batch' or 'group'"
        )
    if norm == "group" and weights not in (None, CHECKPOINT):
        raise ValueError(
            f"norm is 'group', but weights {weights} were trained with batch norm; use norm 'frozen' or 'batch'"
        )


def _load(encoder: Res2NetEncoder | VGGEncoder, name: str, in_channels: int, weights: str | Path) -> None:
    """Drop what the encoder lacks, load the rest strictly, log the report."""
    if name == "vgg16":
        state = read_weights("vgg16_bn", weights)
    else:
        state = tensors_of(load_weights_only(weights), source=str(weights))
    notes: list[str] = []
    stem = state.get(STEMS[name])
    if in_channels == 1 and stem is not None and stem.ndim == 4 and stem.shape[1] == 3:
        state = {**state, STEMS[name]: stem.sum(dim=1, keepdim=True)}
        notes.append("first convolution summed over RGB for one-channel images")
    fitted, dropped = _renamed_vgg(state, encoder) if isinstance(encoder, VGGEncoder) else _without_stage_4(state)
    own = encoder.state_dict()
    counters = [key for key in fitted if key.endswith(".num_batches_tracked") and key not in own]
    fitted = {key: value for key, value in fitted.items() if key not in counters}
    notes += [f"{dropped} tensors of unused stages and of the head dropped"] if dropped else []
    notes += [f"{len(counters)} batch-norm counters dropped, the norms are frozen"] if counters else []
    report = load_state(encoder, fitted, f"{name} weights {weights}")
    _check_variances(encoder, weights)
    logger.info("%s", replace(report, notes=(*report.notes, *notes)))


def _without_stage_4(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    kept = {key: value for key, value in state.items() if not key.startswith(("layer4.", "fc."))}
    return kept, len(state) - len(kept)


def _renamed_vgg(state: Mapping[str, Tensor], encoder: VGGEncoder) -> tuple[dict[str, Tensor], int]:
    """Rename torchvision's features.<n>: convolutions and norms alternate with layers that have no tensors."""
    names: dict[str, str] = {}
    position = 0
    for number, stage in enumerate(encoder.stages):
        for index in range(len(stage)):  # type: ignore[arg-type]
            names[f"features.{position}"] = f"stages.{number}.{index}.conv"
            names[f"features.{position + 1}"] = f"stages.{number}.{index}.norm"
            position += 3  # convolution, norm, ReLU
        position += 1  # pooling
    unused = [key for key in state if key.startswith("classifier.") or _layer(key) >= position]
    renamed = {}
    for key, value in state.items():
        layer, _, tensor = key.rpartition(".")
        if key not in unused:
            renamed[f"{names[layer]}.{tensor}" if layer in names else key] = value
    return renamed, len(unused)


def _layer(key: str) -> int:
    """Number of a layer in torchvision's ``features``, -1 for other keys."""
    parts = key.split(".")
    return int(parts[1]) if parts[0] == "features" and parts[1].isdigit() else -1


def _check_variances(encoder: nn.Module, weights: str | Path) -> None:
    """Frozen norms divide by the root of the variance, without an epsilon."""
    for name, module in encoder.named_modules():
        if isinstance(module, FrozenNorm2d) and not bool((module.running_var > 0).all()):
            raise ValueError(
                f"weights {weights}: {name}.running_var holds variances that are not positive, which frozen norms "
                "divide by; the file is damaged, get it again or use norm 'batch'"
            )
