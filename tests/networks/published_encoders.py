"""State dicts with the keys of published files, and Res2Net written without modules: the second implementation."""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCKS = {1: 3, 2: 4, 3: 6}


def res2net_state() -> dict[str, Tensor]:
    """Random tensors under the keys of res2net50_v1b_26w_4s (timm: res2net50d); stage 4 and head only by name."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def convolution(key: str, after: int, before: int, kernel: int) -> None:
        weight = torch.randn(after, before, kernel, kernel, generator=generator)
        state[f"{key}.weight"] = weight * (2 / (before * kernel * kernel)) ** 0.5

    def norm(key: str, channels: int, weight: float = 1.0) -> None:
        for name, centre, spread in (("weight", weight, 0.1), ("bias", 0, 0.1), ("running_mean", 0, 0.1)):
            state[f"{key}.{name}"] = centre + spread * torch.randn(channels, generator=generator)
        state[f"{key}.running_var"] = 0.5 + torch.rand(channels, generator=generator)
        state[f"{key}.num_batches_tracked"] = torch.tensor(7)

    for index, (after, before) in zip((0, 3, 6), ((32, 3), (32, 32), (64, 32)), strict=True):
        convolution(f"conv1.{index}", after, before, 3)
    for key, channels in (("conv1.1", 32), ("conv1.4", 32), ("bn1", 64)):
        norm(key, channels)
    before = 64
    for stage, blocks in BLOCKS.items():
        width, after = 26 * 2 ** (stage - 1), 256 * 2 ** (stage - 1)
        for block in range(blocks):
            key = f"layer{stage}.{block}"
            convolution(f"{key}.conv1", 4 * width, before, 1)
            norm(f"{key}.bn1", 4 * width)
            for scale in range(3):
                convolution(f"{key}.convs.{scale}", width, width, 3)
                norm(f"{key}.bns.{scale}", width)
            convolution(f"{key}.conv3", after, 4 * width, 1)
            norm(f"{key}.bn3", after, 0.3)
            if block == 0:
                convolution(f"{key}.downsample.1", after, before, 1)
                norm(f"{key}.downsample.2", after)
            before = after
    for key in ("layer4.0.conv1.weight", "layer4.2.bn3.running_var", "fc.weight", "fc.bias"):
        state[key] = torch.zeros(1)
    return state


def res2net_features(state: dict[str, Tensor], image: Tensor, stem_stride: int, epsilon: float) -> list[Tensor]:
    """Compute the four features with functions alone."""

    def norm(key: str, x: Tensor) -> Tensor:
        weight, bias = state[f"{key}.weight"], state[f"{key}.bias"]
        centred = x - state[f"{key}.running_mean"].view(1, -1, 1, 1)
        spread = (state[f"{key}.running_var"] + epsilon).sqrt()
        return centred / spread.view(1, -1, 1, 1) * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

    def conv(key: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{key}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)

    def run_block(key: str, x: Tensor, first: bool, stride: int) -> Tensor:
        chunks = F.relu(norm(f"{key}.bn1", conv(f"{key}.conv1", x))).chunk(4, dim=1)
        results: list[Tensor] = []
        for scale in range(3):
            given = chunks[scale] if first or scale == 0 else chunks[scale] + results[-1]
            results.append(F.relu(norm(f"{key}.bns.{scale}", conv(f"{key}.convs.{scale}", given, stride))))
        results.append(F.avg_pool2d(chunks[3], 3, stride, padding=1) if first else chunks[3])
        merged = norm(f"{key}.bn3", conv(f"{key}.conv3", torch.cat(results, dim=1)))
        if first:
            pooled = F.avg_pool2d(x, stride, stride, ceil_mode=True, count_include_pad=False)
            x = norm(f"{key}.downsample.2", conv(f"{key}.downsample.1", pooled))
        return F.relu(merged + x)

    x = F.relu(norm("conv1.1", conv("conv1.0", image, stem_stride)))
    features = [F.relu(norm("bn1", conv("conv1.6", F.relu(norm("conv1.4", conv("conv1.3", x))))))]
    x = F.max_pool2d(features[0], 3, 2, padding=1)
    for stage, blocks in BLOCKS.items():
        for block in range(blocks):
            x = run_block(f"layer{stage}.{block}", x, block == 0, 2 if block == 0 and stage > 1 else 1)
        features.append(x)
    return features
