"""A text encoder and its projections into the space shared with images."""

# No postponed annotations in this file: TorchScript must see the result types.

from typing import Any, Dict  # noqa: UP035 - TorchScript reads this spelling

import torch.nn.functional as F
from torch import Tensor, nn

from common.utils.precision import at_least_float32

__all__ = ["JointTextEncoder"]


class JointTextEncoder(nn.Module):
    """Sentences as unit vectors, one to compare with images as a whole and one to compare with regions.

    Args:
        encoder: takes token numbers (M,T) and word numbers (M,T) and returns ``sentence`` (M,d), ``word`` (M,W,d) and
            ``word_mask`` (M,W); its attribute ``dim`` is d.
        joint_width: length D of the vectors.

    Raises:
        ValueError: if the encoder does not say its width.
    """

    def __init__(self, encoder: Any, joint_width: int) -> None:
        super().__init__()
        width = getattr(encoder, "dim", None)
        if not isinstance(encoder, nn.Module) or not isinstance(width, int):
            raise ValueError(
                f"the text encoder is a {type(encoder).__name__} whose attribute dim is {width!r}, expected a module "
                "with the width of its vectors, such as common.networks.build_text_encoder makes"
            )
        self.encoder = encoder
        self.global_head = nn.Linear(width, joint_width)
        self.local_head = nn.Linear(width, joint_width)

    def forward(self, token: Tensor, word: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Encode sentences.

        Args:
            token: token numbers (M,T), 0 for padding; each sentence has a token.
            word: number of each token's word (M,T), -1 for padding and special tokens.

        Returns:
            ``sentence`` and ``sentence_local`` (M,D), unit vectors; ``word_vector`` (M,W,D), of any length, and
            ``word_mask`` (M,W), bool. Float32.
        """
        text: Dict[str, Tensor] = self.encoder(token, word)  # noqa: UP006
        sentence, words = text["sentence"], text["word"]
        return {
            "sentence": F.normalize(at_least_float32(self.global_head(sentence)), dim=1, eps=1e-8),
            "sentence_local": F.normalize(at_least_float32(self.local_head(sentence)), dim=1, eps=1e-8),
            "word_vector": at_least_float32(self.local_head(words)),
            "word_mask": text["word_mask"],
        }
