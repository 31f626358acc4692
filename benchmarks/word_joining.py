"""Word pieces into words: a scatter-add against the loop over tokens that published code uses."""

from __future__ import annotations

import statistics
from typing import Any

import torch
from torch import Tensor

from benchmarks._timing import in_turns, torch_threads
from common.layers import join_words

TEXTS = 12
TOKENS = 200
LAYERS = 4  # hidden layers that are combined, published
WIDTH = 768
PIECES = 1.4  # pieces per word, about that of clinical text


def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return hidden states (texts, layers, tokens, width) and word numbers (texts, tokens), -1 at both ends."""
    hidden = torch.randn(TEXTS, LAYERS, TOKENS, WIDTH, generator=generator)
    begins = torch.rand(TEXTS, TOKENS, generator=generator) < 1 / PIECES
    begins[:, 1] = True
    word = begins[:, 1:].cumsum(1) - 1
    word[:, -1] = -1
    return hidden, torch.cat([torch.full_like(word[:, :1], -1), word], 1)


def token_loop(hidden: Tensor, word: Tensor) -> Tensor:
    """Join pieces token by token and layer by layer, asking each token for its word; the sum over layers (M,T,d)."""
    texts = []
    for layers, numbers in zip(hidden, word, strict=True):
        joined = torch.zeros(TOKENS, WIDTH)
        for layer in layers:
            bank: list[Tensor] = []
            words = []
            previous = -1
            for piece, number in zip(layer, numbers, strict=True):
                index = int(number.item())
                if index != previous and bank:
                    words.append(torch.stack(bank).sum(0))
                    bank = []
                if index >= 0:
                    bank.append(piece)
                previous = index
            joined = joined + torch.cat([torch.stack(words), torch.zeros(TOKENS - len(words), WIDTH)])
        texts.append(joined)
    return torch.stack(texts)


def scatter(hidden: Tensor, word: Tensor) -> Tensor:
    """Add the layers up, then join the pieces of all texts at once; (M,T,d)."""
    return join_words(hidden.sum(1), word, "sum")[0]


def run(repeats: int = 3, threads: int = 2) -> dict[str, Any]:
    """Time both in turns, forward and backward as in training, and forward alone.

    Args:
        repeats: timed runs of each.
        threads: torch's intra-operation threads.

    Returns:
        name; slow_s and fast_s, medians in CPU seconds forward and backward, their ratio, forward_ratio and
        max_difference.
    """
    hidden, word = draw(torch.Generator().manual_seed(0))
    learned = hidden.clone().requires_grad_()
    with torch_threads(threads):
        difference = token_loop(hidden, word) - scatter(hidden, word)
        seconds = in_turns(
            repeats,
            slow=lambda: token_loop(learned, word).sum().backward(),
            fast=lambda: scatter(learned, word).sum().backward(),
            slow_forward=lambda: token_loop(hidden, word),
            fast_forward=lambda: scatter(hidden, word),
        )
    median = {name: statistics.median(values) for name, values in seconds.cpu.items()}
    return {
        "name": "word_joining",
        "slow_s": median["slow"],
        "fast_s": median["fast"],
        "ratio": median["slow"] / median["fast"],
        "target": "ratio 5",
        "forward_ratio": median["slow_forward"] / median["fast_forward"],
        "max_difference": float(difference.abs().max()),
        "texts": TEXTS,
        "tokens": TOKENS,
        "repeats": repeats,
        "threads": threads,
        "note": "CPU seconds, forward and backward",
    }
