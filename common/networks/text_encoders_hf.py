"""Any text encoder of the transformers library, such as Bio_ClinicalBERT; the library is imported only here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from common.networks.text_encoders_base import TextEncoder, encode_pieces
from common.text.tokenizer import Tokenizer
from common.utils.choices import check_choice
from common.utils.optional import optional_import

__all__ = ["CLINICAL_BERT", "HFTextEncoder", "hf_tokenizer"]

CLINICAL_BERT = "emilyalsentzer/Bio_ClinicalBERT"
REDUCTIONS = ("sum", "mean")


class HFTextEncoder(TextEncoder):
    """A pre-trained transformer: its last layers combined, then the pieces of each word.

    Args:
        tokenizer: its tokenizer, see :func:`hf_tokenizer`, or the file.
        name_or_folder: name on the Hugging Face hub, or a folder of a saved model.
        last_n_layers: how many of the last layers are combined. Published: 4.
        layer_reduce: ``"sum"`` (published) or ``"mean"`` over those layers.
        piece_reduce: ``"sum"`` (published) or ``"mean"`` over the pieces of a word.
        local_files_only: never ask the network; the files must be in the folder or the library's cache.
        frozen_layers: how many of the lowest layers keep their weights; with at least one the embeddings do too.
        config: the model's configuration instead of pre-trained files, where weights are loaded afterwards.

    Raises:
        ImportError: if the transformers library is missing, with the command that installs it.
        FileNotFoundError: if the model's files are missing.
        ValueError: if an option is out of range.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | str | Path,
        name_or_folder: str = CLINICAL_BERT,
        last_n_layers: int = 4,
        layer_reduce: str = "sum",
        piece_reduce: str = "sum",
        local_files_only: bool = True,
        frozen_layers: int = 0,
        config: dict[str, Any] | None = None,
    ) -> None:
        check_choice("layer_reduce", layer_reduce, REDUCTIONS)
        check_choice("piece_reduce", piece_reduce, REDUCTIONS)
        transformers = optional_import("transformers", "text")
        if config is not None:
            options = {key: value for key, value in config.items() if key != "model_type"}
            known = transformers.AutoConfig.for_model(config["model_type"], **options)
            model = transformers.AutoModel.from_config(known)
        else:
            model = _from_files(transformers.AutoModel, name_or_folder, local_files_only)
        super().__init__(tokenizer, int(model.config.hidden_size))
        depth = int(model.config.num_hidden_layers)
        if not 1 <= last_n_layers <= depth or not 0 <= frozen_layers <= depth:
            raise ValueError(
                f"last_n_layers is {last_n_layers} and frozen_layers {frozen_layers}; "
                f"{name_or_folder} has {depth} layers"
            )
        if self.vocabulary_size > int(model.config.vocab_size):
            raise ValueError(
                f"the tokenizer has {self.vocabulary_size} tokens, {name_or_folder} only {model.config.vocab_size}; "
                "give the model its own tokenizer, as hf_tokenizer reads it"
            )
        self.model = model
        self._last, self._layers, self._pieces = last_n_layers, layer_reduce, piece_reduce
        self._name, self._frozen = name_or_folder, frozen_layers
        for key, parameter in model.named_parameters():
            if frozen_layers and any(key.startswith(part) for part in _lowest(frozen_layers)):
                parameter.requires_grad_(False)

    def forward(self, token: Tensor, word: Tensor) -> dict[str, Tensor]:
        """Encode M texts, see :class:`TextEncoder`."""
        mask = (token > 0).to(torch.int64)
        mask[:, 0] = 1  # a text without tokens sees its first place
        hidden = self.model(input_ids=token, attention_mask=mask, output_hidden_states=True).hidden_states
        last = torch.stack(hidden[-self._last :])
        piece = last.sum(0) if self._layers == "sum" else last.mean(0)
        return encode_pieces(piece, token, word, self._pieces)

    def settings(self) -> dict[str, Any]:
        """Return name and options, see :class:`TextEncoder`; the files are not read again."""
        return {
            "name": f"hf:{self._name}",
            "last_n_layers": self._last,
            "layer_reduce": self._layers,
            "piece_reduce": self._pieces,
            "frozen_layers": self._frozen,
            "config": self.model.config.to_dict(),
        }


def hf_tokenizer(name_or_folder: str = CLINICAL_BERT, local_files_only: bool = True) -> Tokenizer:
    """Read the tokenizer of a Hugging Face model.

    Raises:
        ImportError: if the transformers library is missing.
        FileNotFoundError: if the files are missing.
        ValueError: if padding is not token 0.
    """
    transformers = optional_import("transformers", "text")
    return Tokenizer(
        _from_files(transformers.AutoTokenizer, name_or_folder, local_files_only).backend_tokenizer, name_or_folder
    )


def _from_files(kind: Any, name_or_folder: str, local_files_only: bool) -> Any:
    """Read a model or a tokenizer, or say what is missing where."""
    try:
        return kind.from_pretrained(name_or_folder, local_files_only=local_files_only)
    except (OSError, ValueError) as error:
        hint = "set local_files_only to false once, on a machine with a network, or name a folder that holds them"
        raise FileNotFoundError(
            f"the files of the text encoder '{name_or_folder}' were not found or cannot be read "
            f"({str(error).splitlines()[0]}); {hint}"
        ) from error


def _lowest(layers: int) -> list[str]:
    """Return the beginnings of the names of the embeddings and the lowest layers."""
    return ["embeddings.", *(f"encoder.layer.{index}." for index in range(layers))]
