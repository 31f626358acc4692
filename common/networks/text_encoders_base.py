"""What all text encoders share: what they return, and that weights and tokenizer belong together."""

# No postponed annotations in this file: TorchScript must see the return types.

from pathlib import Path
from typing import Any, Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.word_joining import join_words
from common.text.tokenizer import Tokenizer

__all__ = ["TextEncoder", "encode_pieces"]


class TextEncoder(nn.Module):
    """Texts to vectors.

    ``forward(token, word)`` takes token and word numbers (M,T), as :meth:`common.text.Tokenizer.encode` returns them,
    and returns ``sentence`` (M,d), the mean over the text's tokens that belong to words, ``word`` (M,T,d), a vector by
    word number, and ``word_mask`` (M,T), bool, which words exist. A text of padding alone gives zeros.

    ``settings()`` returns name and options that build the same encoder.

    Args:
        tokenizer: the tokenizer, or its file.
        dim: numbers d of every vector.

    Attributes:
        dim: d.
        vocabulary_size: number of tokens it knows.
        tokenizer_fingerprint: kept with the weights; those of another tokenizer are refused.

    Raises:
        ValueError: if dim is below 1.
    """

    def __init__(self, tokenizer: Tokenizer | str | Path, dim: int) -> None:
        super().__init__()
        if dim < 1:
            raise ValueError(f"the width of a text encoder is {dim}, expected at least 1")
        known = tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.from_file(tokenizer)
        self.dim = dim
        self.vocabulary_size = known.vocabulary_size
        self.register_buffer("tokenizer_fingerprint", torch.tensor(known.fingerprint))

    def settings(self) -> dict[str, Any]:
        """Return name and options for :func:`common.networks.build_text_encoder`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it was built")

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Refuse weights that were trained with another tokenizer: the same numbers would mean other words."""
        saved = state_dict.get(f"{prefix}tokenizer_fingerprint")
        own = self.tokenizer_fingerprint
        if isinstance(saved, Tensor) and isinstance(own, Tensor) and int(saved) != int(own):
            raise ValueError(
                f"the text encoder's weights were trained with another tokenizer (fingerprint {int(saved)}) than the "
                f"one given ({int(own)}), so they would read other words; use the tokenizer.json that was saved with "
                "the weights, or train anew"
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)


def encode_pieces(piece: Tensor, token: Tensor, word: Tensor, reduce: str = "mean") -> Dict[str, Tensor]:  # noqa: UP006
    """Return what a text encoder returns, from vectors of its tokens.

    Args:
        piece: vectors (M,T,d).
        token: token numbers (M,T).
        word: word numbers (M,T), -1 for tokens that belong to no word.
        reduce: how pieces of a word are combined, ``"mean"`` or ``"sum"``.

    Returns:
        See :class:`TextEncoder`.
    """
    vector, word_mask = join_words(piece, word, reduce)
    live = ((token > 0) & (word >= 0)).to(piece.dtype).unsqueeze(2)
    sentence = (piece * live).sum(1) / live.sum(1).clamp(min=1.0)
    return {"sentence": sentence, "word": vector, "word_mask": word_mask}
