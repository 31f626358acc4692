"""Gates: a relevance map multiplies features, so that only what the map leaves open is passed on.

Source: Rio-Torto, Fernandes, Teixeira, "Understanding the decisions of CNNs: An in-model approach",
Pattern Recognition Letters 133 (2020) 373-380.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["GatedStage", "gate", "pool_map"]


def pool_map(explanation: Tensor, feature: Tensor) -> Tensor:
    """Average-pool a map to the size of a feature.

    Adaptive pooling takes any size; it equals the reference's average pooling where the sizes divide. The result has
    the feature's dtype, so that a float32 map does not turn half-precision features into float32 ones.

    Args:
        explanation: relevance map (B,1,H,W) in [0,1].
        feature: feature (B,D,h,w).

    Returns:
        The map at the feature's size, (B,1,h,w).
    """
    return F.adaptive_avg_pool2d(explanation, (feature.shape[2], feature.shape[3])).to(feature.dtype)


def gate(feature: Tensor, explanation: Tensor) -> Tensor:
    """Multiply every channel of a feature by the pooled map (broadcast, the map is not repeated).

    Args:
        feature: feature (B,D,h,w).
        explanation: relevance map (B,1,H,W) in [0,1].

    Returns:
        The gated feature (B,D,h,w). A map of ones returns the feature unchanged, bit for bit.
    """
    return feature * pool_map(explanation, feature)


class GatedStage(nn.Sequential):
    """Residual blocks of one resolution, gated after every block or once after the last.

    A ``Sequential``, so its state-dict keys are those of the plain stage.

    Args:
        blocks: the residual blocks; only the first may change the resolution.
        every_block: gate after every block, else only after the last.
    """

    def __init__(self, *blocks: nn.Module, every_block: bool = True) -> None:
        super().__init__(*blocks)
        self.every_block = every_block

    def forward(self, feature: Tensor, explanation: Tensor) -> Tensor:  # type: ignore[override]
        """Run the blocks with their gates.

        Args:
            feature: input feature (B,D,h,w).
            explanation: relevance map (B,1,H,W) in [0,1].

        Returns:
            The gated feature of the last block.
        """
        pooled = explanation
        for index, block in enumerate(self):
            feature = block(feature)
            if index == 0:
                pooled = pool_map(explanation, feature)
            if self.every_block:
                feature = feature * pooled
        return feature if self.every_block else feature * pooled
