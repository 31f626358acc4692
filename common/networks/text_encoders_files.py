"""A text encoder in a folder: tokenizer, settings and weights, so that inference asks no network for anything."""

from __future__ import annotations

import json
from pathlib import Path

from common.networks.text_encoders import build_text_encoder
from common.networks.text_encoders_base import TextEncoder
from common.text.tokenizer import Tokenizer
from common.utils.checkpoint import load_state, load_weights_only, save_atomic
from common.utils.files import write_json

__all__ = ["load_text_encoder", "save_text_encoder"]

TOKENIZER, CONFIG, WEIGHTS = "tokenizer.json", "config.json", "weights.pt"


def save_text_encoder(folder: str | Path, encoder: TextEncoder, tokenizer: Tokenizer | str | Path) -> None:
    """Write tokenizer.json, config.json and weights.pt into a folder such as ``models/text``.

    Args:
        folder: made if needed; earlier files are replaced.
        encoder: the text encoder.
        tokenizer: its tokenizer, or the file.

    Raises:
        ValueError: if the tokenizer is not the encoder's.
    """
    known = tokenizer if isinstance(tokenizer, Tokenizer) else Tokenizer.from_file(tokenizer)
    if int(encoder.state_dict()["tokenizer_fingerprint"]) != known.fingerprint:
        raise ValueError(f"{known.source} is not the tokenizer that the text encoder was built with; give that one")
    folder = Path(folder)
    known.save(folder / TOKENIZER)
    save_atomic(encoder.state_dict(), folder / WEIGHTS)
    write_json(folder / CONFIG, encoder.settings())


def load_text_encoder(folder: str | Path) -> tuple[TextEncoder, Tokenizer]:
    """Read what :func:`save_text_encoder` wrote.

    Returns:
        The encoder, in evaluation mode, and its tokenizer.

    Raises:
        FileNotFoundError: if a file is missing, naming all that are.
        ValueError: if the files do not belong together.
    """
    folder = Path(folder)
    missing = [name for name in (TOKENIZER, CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"the text encoder's folder {folder} lacks {', '.join(missing)}; training writes the three files "
            f"{TOKENIZER}, {CONFIG} and {WEIGHTS} there, copy them from where the model was trained"
        )
    settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(folder / TOKENIZER)
    encoder = build_text_encoder(settings.pop("name"), tokenizer, **settings)
    load_state(encoder, load_weights_only(folder / WEIGHTS), folder / WEIGHTS)
    return encoder.eval(), tokenizer
