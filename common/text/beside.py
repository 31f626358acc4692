"""Where the files are that texts are read with."""

from __future__ import annotations

from pathlib import Path

__all__ = ["text_file"]


def text_file(name: str, weights: str | Path, otherwise: str | Path) -> str:
    """Return tokenizer.json or prompts.json as they belong to weights.

    Args:
        name: of the file.
        weights: the weights' file; a training leaves a folder ``text`` beside it.
        otherwise: the folder to take the file from where there is none, as for weights that came alone.

    Returns:
        The file's path. Weights that were trained with another tokenizer are refused when they are loaded.
    """
    beside = Path(weights).parent / "text" / name
    return str(beside if beside.is_file() else Path(otherwise) / name)
