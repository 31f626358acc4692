"""Word pieces into words: one scatter-add instead of a loop over tokens."""

import torch
from torch import Tensor

__all__ = ["join_words", "trim_padding"]


def join_words(piece: Tensor, word: Tensor, reduce: str = "mean") -> tuple[Tensor, Tensor]:
    """Combine the vectors of the pieces of each word.

    Args:
        piece: vectors of T tokens (M,T,d).
        word: number of the word that each token belongs to (M,T), int64, from 0 to T-1; -1 for none.
        reduce: ``"mean"`` or ``"sum"`` over the pieces of a word.

    Returns:
        Vectors (M,T,d) by word number, zero where there is no such word, and which words exist (M,T), bool. There are
        never more words than tokens, so T serves as number of words.
    """
    rows, length = word.shape[0], word.shape[1]
    slot = torch.where(word < 0, torch.full_like(word, length), word)  # what belongs to no word goes behind the last
    total = piece.new_zeros(rows, length + 1, piece.shape[2])
    total = total.scatter_add(1, slot.unsqueeze(2).expand(-1, -1, piece.shape[2]), piece)[:, :length]
    count = piece.new_zeros(rows, length + 1).scatter_add(1, slot, torch.ones_like(piece[:, :, 0]))[:, :length]
    if reduce == "mean":
        total = total / count.clamp(min=1.0).unsqueeze(2)
    return total, count > 0


def trim_padding(token: Tensor, word: Tensor) -> tuple[Tensor, Tensor]:
    """Cut the columns off that are padding in every row, which saves computing them.

    Args:
        token: token numbers (..., T), 0 for padding at the end.
        word: word numbers (..., T).

    Returns:
        Both (..., T') with T' the length of the longest row, at least 1.
    """
    used = (token > 0).reshape(-1, token.shape[-1]).any(0)
    length = max(1, int(used.sum()))
    return token[..., :length], word[..., :length]
