"""Polarized self-attention: a gate per channel, then a gate per pixel, both computed from pooled features.

Source: Liu et al., "Polarized self-attention: towards high-quality pixel-wise mapping", Neurocomputing 506 (2022), in
the sequential form of KarryRen/UML, whose spatial query has no softmax.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["PolarizedAttention"]


class PolarizedAttention(nn.Module):
    """x -> x times the channel gate times (1 + the spatial gate).

    In formulas: q = softmax over the pixels of w·x; gate = σ(LayerNorm(W_g (W_v Σ_p q_p x_p + b_v) + b_g)); y = gate x;
    s_p = σ((W_q mean(y) + b_q)·(W_s y_p + b_s)); result y_p (1 + s_p). The reference's 1x1 convolutions are used in
    pooled or dotted form only, so pooling comes first and no map but x is ever multiplied by a matrix. The query has no
    bias: the softmax would cancel it, and it would never get a gradient.

    Args:
        channels: channels D of the feature, even.

    Raises:
        ValueError: if ``channels`` is not even and positive.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 2 or channels % 2:
            raise ValueError(f"channels is {channels}, expected a positive even number: half of them are compared")
        half = channels // 2
        self.channel_query = nn.Linear(channels, 1, bias=False)
        self.channel_value = nn.Linear(channels, half)
        self.channel_gate = nn.Linear(half, channels)
        self.norm = nn.LayerNorm(channels)
        self.spatial_query = nn.Linear(channels, half)
        self.spatial_value = nn.Linear(channels, half)
        for layer in self.children():
            if isinstance(layer, nn.Linear):  # 1x1 convolutions in the reference, and initialised as such
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    @torch.jit.export
    def gate_channels(self, attended: Tensor) -> Tensor:
        """Turn the attended feature Σ_p q_p x_p (B,D) into the channel gate (B,D) in (0,1)."""
        return torch.sigmoid(self.norm(self.channel_gate(self.channel_value(attended))))

    @torch.jit.export
    def spatial_key(self, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Turn the mean over the pixels of the gated feature into what gates the pixels: s_p = σ(key·y_p + offset).

        Args:
            mean: mean of y (B,D).

        Returns:
            key (B,D) and offset (B,).
        """
        query = self.spatial_query(mean)
        return query @ self.spatial_value.weight, query @ self.spatial_value.bias

    def forward(self, feature: Tensor) -> Tensor:
        """Gate a feature (B,D,h,w); the shape is kept."""
        pixels = feature.flatten(2)
        rows = self.channel_query.weight.expand(feature.shape[0], 1, -1)  # a batched product copies no map
        query = torch.softmax(rows @ pixels, dim=2)
        gate = self.gate_channels((pixels @ query.transpose(1, 2)).squeeze(2))
        gated = gate.unsqueeze(2) * pixels
        key, offset = self.spatial_key(gated.mean(dim=2))
        spatial = torch.sigmoid(key.unsqueeze(1) @ gated + offset.view(-1, 1, 1))
        return (gated * (1 + spatial)).view_as(feature)
