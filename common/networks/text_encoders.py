"""Text encoders trained with the image encoder from nothing, and the way to build any text encoder by name."""

# No postponed annotations in this file: TorchScript must see the return types.

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.transformer_block import TransformerBlock
from common.networks.text_encoders_base import TextEncoder, encode_pieces
from common.text.tokenizer import Tokenizer
from common.utils.choices import check_choice

__all__ = ["TEXT_ENCODERS", "BagTextEncoder", "TinyTextEncoder", "build_text_encoder"]

TEXT_ENCODERS = ("tiny", "bag", "minilm", "hf:<name or folder>")


class TinyTextEncoder(TextEncoder):
    """A small transformer: learned positions, layers with the normalisation first, masked mean.

    Args:
        tokenizer: the tokenizer, or its file.
        width: numbers d of every vector.
        depth: number of layers.
        heads: attention heads.
        hidden: width of the perceptrons.
        max_tokens: longest text it reads.
        dropout: in training.

    Attributes:
        dim: d.
        vocabulary_size: number of tokens it knows.

    Raises:
        ValueError: if an option is out of range.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | str | Path,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        hidden: int = 256,
        max_tokens: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(tokenizer, width)
        if depth < 1:
            raise ValueError(f"depth is {depth}, expected at least 1 layer; without layers it is the encoder 'bag'")
        self.max_tokens = max_tokens
        self.embedding = nn.Embedding(self.vocabulary_size, width, padding_idx=0)
        self.position = nn.Parameter(torch.empty(max_tokens, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, hidden, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.normal_(self.position, std=0.02)
        nn.init.zeros_(self.embedding.weight[0].detach())
        self._settings = {"width": width, "depth": depth, "heads": heads, "hidden": hidden}
        self._settings["max_tokens"] = max_tokens

    def forward(self, token: Tensor, word: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Encode M texts, see :class:`TextEncoder`."""
        length = token.shape[1]
        if length > self.max_tokens:
            raise ValueError(f"texts of {length} tokens, but the encoder reads {self.max_tokens}; cut them or raise it")
        mask = token > 0
        mask = torch.cat([torch.ones_like(mask[:, :1]), mask[:, 1:]], 1)  # a text without tokens sees its first place
        sequence = self.embedding(token) + self.position[:length]
        for block in self.blocks:
            sequence = block(sequence, mask)
        return encode_pieces(self.norm(sequence), token, word)

    def settings(self) -> dict[str, Any]:
        """Return name and options, see :class:`TextEncoder`."""
        return {"name": "tiny", **self._settings}


class BagTextEncoder(TextEncoder):
    """The mean of learned word vectors; word order counts for nothing. For tests and as a baseline.

    Args:
        tokenizer: the tokenizer, or its file.
        width: numbers d of every vector.
    """

    def __init__(self, tokenizer: Tokenizer | str | Path, width: int = 128) -> None:
        super().__init__(tokenizer, width)
        self.embedding = nn.Embedding(self.vocabulary_size, width, padding_idx=0)

    def forward(self, token: Tensor, word: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Encode M texts, see :class:`TextEncoder`."""
        return encode_pieces(self.embedding(token), token, word)

    def settings(self) -> dict[str, Any]:
        """Return name and options, see :class:`TextEncoder`."""
        return {"name": "bag", "width": self.dim}


def build_text_encoder(name: str | Mapping[str, Any], tokenizer: Tokenizer | str | Path, **options: Any) -> TextEncoder:
    """Build a text encoder by name, or again as an earlier one was.

    Args:
        name: ``"tiny"``, ``"bag"``, ``"minilm"`` (see :class:`MiniLMTextEncoder`) or ``"hf:"`` and the name or folder
            of a Hugging Face model (see :class:`HFTextEncoder`); or an encoder's ``settings()``, which need no files:
            its weights are loaded afterwards.
        tokenizer: its tokenizer, or the file.
        options: what the encoder's class takes.

    Returns:
        The encoder.

    Raises:
        ValueError: if there is no such encoder.
    """
    if not isinstance(name, str):
        return build_text_encoder(tokenizer=tokenizer, **{**name, **options})
    if name.startswith("hf:"):
        from common.networks.text_encoders_hf import HFTextEncoder

        return HFTextEncoder(tokenizer, name.removeprefix("hf:"), **options)
    check_choice("the text encoder", name, TEXT_ENCODERS)
    if name == "minilm":
        from common.networks.text_encoders_minilm import MiniLMTextEncoder

        return MiniLMTextEncoder(tokenizer, **options)
    return TinyTextEncoder(tokenizer, **options) if name == "tiny" else BagTextEncoder(tokenizer, **options)
