"""Self-attention and a two-layer perceptron over a sequence, with the normalisation before or behind each."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["TransformerBlock"]


class TransformerBlock(nn.Module):
    """One layer of a transformer encoder.

    Source: Vaswani et al., "Attention is all you need", NeurIPS 2017 (normalisation behind); Xiong et al., "On layer
    normalization in the transformer architecture", ICML 2020 (before).

    Args:
        width: numbers d per token.
        heads: attention heads, a divisor of the width.
        hidden: width of the perceptron.
        norm_first: normalise before attention and perceptron, or their sums with the input behind them, as BERT does.
        epsilon: added to the variance of the normalisation.
        dropout: share of numbers dropped from what attention and perceptron add, in training.

    Raises:
        ValueError: if the width is no multiple of heads.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        norm_first: bool = True,
        epsilon: float = 1e-5,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"width {width} cannot be shared among {heads} heads; choose a divisor of it")
        self.heads = heads
        self.norm_first = norm_first
        self.projection = nn.Linear(width, 3 * width)
        self.mixer = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, width)
        self.perceptron_norm = nn.LayerNorm(width, eps=epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, sequence: Tensor, mask: Tensor) -> Tensor:
        """Let tokens see each other.

        Args:
            sequence: vectors (M,T,d).
            mask: which tokens may be looked at (M,T), bool, at least one in every row.

        Returns:
            Vectors (M,T,d).
        """
        if self.norm_first:
            sequence = sequence + self.dropout(self._attend(self.attention_norm(sequence), mask))
            return sequence + self.dropout(self._perceive(self.perceptron_norm(sequence)))
        sequence = self.attention_norm(sequence + self.dropout(self._attend(sequence, mask)))
        return self.perceptron_norm(sequence + self.dropout(self._perceive(sequence)))

    def _attend(self, sequence: Tensor, mask: Tensor) -> Tensor:
        rows, length, width = sequence.shape
        parts = self.projection(sequence).view(rows, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], attn_mask=mask[:, None, None, :])
        return self.mixer(mixed.transpose(1, 2).reshape(rows, length, width))

    def _perceive(self, sequence: Tensor) -> Tensor:
        return self.outer(F.gelu(self.inner(sequence)))
