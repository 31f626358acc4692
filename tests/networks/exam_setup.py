"""Exams, prompts and a text encoder small enough to be looked through."""

from typing import Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

VOCABULARY = 30


class WordMeans(nn.Module):
    """The mean of word vectors."""

    def __init__(self, dim: int = 12) -> None:
        super().__init__()
        self.dim = dim
        self.vocabulary_size = VOCABULARY
        self.embedding = nn.Embedding(VOCABULARY, dim)

    def forward(self, token: Tensor, word: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        vector, mask = self.embedding(token), word >= 0
        weight = mask.unsqueeze(2).to(vector.dtype)
        return {"sentence": (vector * weight).sum(1) / weight.sum(1), "word": vector * weight, "word_mask": mask}


def texts(*shape: int, absent: tuple[tuple[int, ...], ...] = ()) -> tuple[Tensor, Tensor]:
    """Draw tokens and word numbers; those named in ``absent`` are padding."""
    generator = torch.Generator().manual_seed(4)
    token = torch.randint(1, VOCABULARY, shape, generator=generator)
    word = torch.arange(shape[-1]).expand(shape).clone()
    for place in absent:
        token[place], word[place] = 0, -1
    return token, word


def exams(count: int = 3, size: tuple[int, int] = (64, 64), seed: int = 0) -> Tensor:
    """Draw exams of four views; the first lacks a view, the second a side."""
    image = torch.rand(count, 4, 1, *size, generator=torch.Generator().manual_seed(seed))
    image[0, 1] = 0
    if count > 1:
        image[1, 2:] = 0
    return image
