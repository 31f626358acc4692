"""UML's network of 2024 computed as its code does, layer by layer and without any rewriting.

Works on the parameters of a ``UMLNet``, so that both forms can be compared; unused stages are not built.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.networks import UMLNet, build_encoder

__all__ = ["published_explain", "settled_network"]


RESIDUAL = 0.2


def settled_network(size: int = 64, **options: Any) -> UMLNet:
    """Build the published network with random weights whose frozen norms fit its activations.

    Residual branches are damped, as they are in trained networks: otherwise rounding errors grow from block to block.

    Args:
        size: side of the images that the statistics are taken from, in pixels.
        options: of ``UMLNet``.

    Returns:
        The network in training mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UMLNet(norm="frozen", weights="checkpoint", **options).train()
        image = torch.rand(2, 3, size, size)
        for name in ("class_encoder", "segmentation_encoder"):
            part = build_encoder("res2net50", norm="batch")
            for key, module in part.named_modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = 1.0
                    nn.init.constant_(module.weight, RESIDUAL if key.endswith("bn3") else 1.0)
            with torch.no_grad():
                part.train()(image)
            kept = {key: value for key, value in part.state_dict().items() if "num_batches" not in key}
            getattr(network, name).load_state_dict(kept)
    return network


def published_explain(network: UMLNet, image: Tensor) -> dict[str, Tensor]:
    """Compute what ``network.explain_levels`` computes.

    Args:
        network: of the variant ``attention``, for images whose sides are multiples of 8.
        image: images (B,3,H,W) in [0,1].

    Returns:
        The outputs of ``explain_levels``; in addition the reference's interpolated uncertainty of every level.
    """
    parts: Any = network
    class_features, features = _encode(parts.class_encoder, image), _encode(parts.segmentation_encoder, image)
    mixed = [_mix(mixer, *pair) for mixer, *pair in zip(parts.mixer.levels, class_features, features, strict=True)]
    mutual, outputs = _mutual_branch(parts.mutual_decoder, mixed, image.shape[2:])
    feature, logits = _segment(parts.segmentation_decoder, features, mutual, outputs["pixel_uncertainty"])
    outputs["segmentation_logits"] = logits
    outputs["segmentation_probability"] = logits.softmax(dim=1)
    raw = _classify(parts.classifier, class_features[3], feature)
    outputs["evidence"] = F.softplus(raw)
    outputs |= dict(zip(("probability", "belief", "uncertainty"), _opinion(outputs["evidence"]), strict=True))
    return outputs


def _opinion(evidence: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    alpha = evidence + 1
    strength = alpha.sum(dim=1, keepdim=True)
    return alpha / strength, evidence / strength, alpha.shape[1] / strength


def _frozen(norm: Any, feature: Tensor) -> Tensor:
    scale = norm.weight * norm.running_var.rsqrt()
    shift = norm.bias - norm.running_mean * scale
    return feature * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


def _encode(encoder: Any, image: Tensor) -> list[Tensor]:
    stem = encoder.conv1
    feature = F.relu(_frozen(stem[1], stem[0](image)))
    feature = F.relu(_frozen(stem[4], stem[3](feature)))
    features = [F.relu(_frozen(encoder.bn1, stem[6](feature)))]
    feature = encoder.maxpool(features[0])
    for stage in (encoder.layer1, encoder.layer2, encoder.layer3):
        for block in stage:
            feature = _block(block, feature)
        features.append(feature)
    return features


def _block(block: Any, feature: Tensor) -> Tensor:
    chunks = F.relu(_frozen(block.bn1, block.conv1(feature))).chunk(4, dim=1)
    merged = scale = chunks[0]
    for i in range(3):
        chunk = chunks[i] if block.first or i == 0 else scale + chunks[i]
        scale = F.relu(_frozen(block.bns[i], block.convs[i](chunk)))
        merged = scale if i == 0 else torch.cat([merged, scale], dim=1)
    merged = torch.cat([merged, block.pool(chunks[3]) if block.first else chunks[3]], dim=1)
    shortcut = feature
    if block.first:
        shortcut = _frozen(block.downsample[2], block.downsample[1](block.downsample[0](feature)))
    return F.relu(_frozen(block.bn3, block.conv3(merged)) + shortcut)


def _mix(mixer: Any, first: Tensor, second: Tensor) -> Tensor:
    wide = torch.cat([mixer.reduce_first(first), mixer.reduce_second(second)], dim=1)
    batch, channels, height, width = wide.shape
    shuffled = wide.view(batch, channels // 4, 4, height, width).transpose(1, 2).reshape(wide.shape)
    return mixer.project(_attend(mixer.attention, shuffled))


def _attend(attention: Any, feature: Tensor) -> Tensor:
    batch, channels, height, width = feature.shape

    def conv(layer: nn.Linear, x: Tensor) -> Tensor:
        return F.conv2d(x, layer.weight[:, :, None, None], layer.bias)

    query = conv(attention.channel_query, feature).view(batch, -1, 1).softmax(dim=1)
    value = conv(attention.channel_value, feature).view(batch, channels // 2, -1)
    raw = conv(attention.channel_gate, (value @ query).unsqueeze(3))
    gate = attention.norm(raw.view(batch, channels, 1).transpose(1, 2)).transpose(1, 2).view(batch, channels, 1, 1)
    gated = feature * gate.sigmoid()
    value = conv(attention.spatial_value, gated).view(batch, channels // 2, -1)
    query = conv(attention.spatial_query, gated).mean(dim=(2, 3)).unsqueeze(1)
    return gated * (query @ value).sigmoid().view(batch, 1, height, width) + gated


def _double_conv(layers: Any, feature: Tensor) -> Tensor:
    for layer in layers:
        feature = F.relu(layer.norm(layer.conv(feature)))
        if layer.dropout.p > 0:
            feature = F.dropout2d(feature, layer.dropout.p, layer.training)
    return feature


def _step(step: Any, low: Tensor, skip: Tensor) -> Tensor:
    low = _double_conv(step.before, _resized(low, skip.shape[2:]))
    return _double_conv(step.after, torch.cat([low, skip], dim=1))


def _resized(feature: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(feature, size=size, mode="bilinear", align_corners=True)


def _mutual_branch(decoder: Any, mixed: list[Tensor], size: torch.Size) -> tuple[Tensor, dict[str, Tensor]]:
    reduced = [layer(feature) for layer, feature in zip(decoder.reduce, mixed, strict=True)]
    decoded = [reduced[3]]
    for i, step in enumerate(decoder.steps):
        decoded.insert(0, _step(step, decoded[0], reduced[2 - i]))
    outputs = {}
    for i, head in enumerate(decoder.heads):
        evidence = F.softplus(head.second(head.first(decoded[i])))
        level = "" if i == 0 else f"_{i + 1}"
        outputs[f"pixel_uncertainty{level}"] = _resized(_opinion(evidence)[2], size)
        outputs[f"pixel_evidence{level}"] = _resized(evidence, size)
    outputs["pixel_probability"], outputs["pixel_belief"], _ = _opinion(outputs["pixel_evidence"])
    return decoded[0], outputs


def _navigate(navigator: Any, feature: Tensor, mutual: Tensor, uncertainty: Tensor) -> Tensor:
    size, repeats = feature.shape[2:], feature.shape[1] // mutual.shape[1]
    feature = feature * torch.exp(-_resized(uncertainty, size))
    mutual = torch.cat([_resized(mutual, size)] * repeats, dim=1)
    from_feature = navigator.norm_feature(navigator.from_feature(feature))
    from_mutual = navigator.norm_mutual(navigator.from_mutual(mutual))
    gate = navigator.norm_gate(navigator.gate(F.relu(from_feature + from_mutual)))
    return feature * gate.sigmoid()


def _segment(decoder: Any, features: list[Tensor], mutual: Tensor, uncertainty: Tensor) -> tuple[Tensor, Tensor]:
    reduced = [layer(feature) for layer, feature in zip(decoder.reduce, features, strict=True)]
    feature = reduced[3]
    for i, (navigator, step) in enumerate(zip(decoder.navigators, decoder.steps, strict=True)):
        feature = _step(step, feature, _navigate(navigator, reduced[2 - i], mutual, uncertainty))
    return feature, decoder.head(feature)


def _classify(classifier: Any, deepest: Tensor, feature: Tensor) -> Tensor:
    for layer in classifier.separable:
        deepest = _double_conv([layer[1]], layer[0](deepest))
    instruction = _double_conv(classifier.instruct, _resized(feature, deepest.shape[2:]))
    return classifier.score((deepest * (1 + instruction)).mean(dim=(2, 3)))
