"""Exams and the reports about them in one space: pre-trained on pairs, asked by sentences.

Sources: yawwG/Visualize-what-you-learn (views, decoder); Huang et al., "GLoRIA", ICCV 2021 (global and local contrast).
"""

# No postponed annotations in this file: TorchScript must see the result types.

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Dict, Tuple  # noqa: UP035 - TorchScript reads this spelling

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.layers.masking import masked_mean
from common.layers.region_grid import attend_regions, region_mean
from common.layers.word_joining import trim_padding
from common.networks.exam_encoder import BACKGROUND, ExamEncoder, spread
from common.networks.joint_text_encoder import JointTextEncoder
from common.networks.visual_decoder import VisualDecoder

__all__ = ["MultiViewReportNet"]

SCALE = 14.3
SHARPNESS = 10.0


class MultiViewReportNet(nn.Module):
    """An image encoder and a text encoder whose vectors are compared, and optionally a decoder of abnormality.

    Classification is zero-shot: for each side and finding, how much better the images fit prompts that state the
    finding than prompts that negate it. Parts: ``image_encoder``, ``text_encoder``, ``decoder`` (if any) and the
    learned factors ``log_scale_global``, ``log_scale_local`` and ``log_sharpness``.

    Args:
        text: a text encoder, see :class:`common.networks.joint_text_encoder.JointTextEncoder`.
        prompts: tokens and word numbers of the prompts, each (S,F,2,Q,T): side, finding, positive or negative, up to Q
            prompts of up to T tokens, 0 where there are fewer. They are not part of the weights.
        views: names of the V view slots.
        view_side: index of each slot's side.
        sides: names of the S sides.
        findings: names of the F findings.
        image: image encoder, see :func:`common.networks.view_trunk.build_view_trunk`.
        joint_width: length D of all vectors.
        fusion: ``"mean"`` or ``"attention"``, see :class:`common.networks.exam_fusion.ViewFusion`.
        shared: one image encoder for all views, or one for each kind of view.
        decoder: None, ``"light"`` or ``"paper"``, see :class:`common.networks.visual_decoder.VisualDecoder`.
        words: let :meth:`match` return vectors of words too.
        in_channels: image channels.
        weights: start weights of the image encoder.
        mean: channel means subtracted from the image; None for 0.
        std: channel standard deviations that the image is divided by; None for 1.
        background: mean grey up to which a region is background, in [0,1).

    Attributes:
        region_stride: pixels between the centres of neighbouring regions.
        region_offset: pixel that the first region is centred on; :func:`common.layers.upsample_regions` takes both.

    Raises:
        ValueError: if an option is out of range or unknown, names do not fit each other, or a class has no prompt.
    """

    membership: Tensor
    prompt_token: Tensor
    prompt_word: Tensor

    def __init__(
        self,
        text: nn.Module,
        prompts: tuple[Tensor, Tensor],
        views: Sequence[str] = ("left_cc", "left_mlo", "right_cc", "right_mlo"),
        view_side: Sequence[int] = (0, 0, 1, 1),
        sides: Sequence[str] = ("left", "right"),
        findings: Sequence[str] = ("mass", "calcification", "distortion"),
        image: str = "tiny",
        joint_width: int = 128,
        fusion: str = "mean",
        shared: bool = True,
        decoder: str | None = None,
        words: bool = False,
        in_channels: int = 1,
        weights: str | Path | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        background: float = BACKGROUND,
    ) -> None:
        super().__init__()
        options = {"weights": weights, "mean": mean, "std": std, "background": background}
        encoder = ExamEncoder(
            image,
            view_side,
            joint_width,
            fusion,
            shared=shared,
            in_channels=in_channels,
            **options,  # type: ignore[arg-type]
        )
        _check_names(views, view_side, sides, len(encoder.membership))
        token, word = _checked_prompts(prompts, sides, findings)
        self.register_buffer("membership", encoder.membership.clone(), persistent=False)
        self.register_buffer("prompt_token", token, persistent=False)
        self.register_buffer("prompt_word", word, persistent=False)
        self.views, self.sides, self.findings = list(views), list(sides), list(findings)
        self.words = words
        self.region_stride, self.region_offset = encoder.region_stride, encoder.region_offset
        self.num_taps = encoder.local_level + 1
        self.image_encoder = encoder
        self.text_encoder = JointTextEncoder(text, joint_width)
        self.decoder = None if decoder is None else VisualDecoder(encoder.channels[: self.num_taps], decoder)
        self.log_scale_global = nn.Parameter(torch.tensor(math.log(SCALE)))
        self.log_scale_local = nn.Parameter(torch.tensor(math.log(SCALE)))
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(SHARPNESS)))

    def forward(self, image: Tensor) -> Tensor:
        """Predict logits (E,S·F), side by side, for exams (E,V,1,H,W) in [0,1]; 0 for a side without a view."""
        encoded = self._encode(image, False)
        return self._ask(encoded, self.prompt_token, self.prompt_word)["logits"]

    @torch.jit.export
    def explain(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Predict and say why.

        Args:
            image: exams (E,V,1,H,W) in [0,1], absent views filled with 0.

        Returns:
            What :meth:`zero_shot` returns for the prompts of the network, and what :meth:`encode` returns.
        """
        encoded = self._encode(image, True)
        encoded.update(self._ask(encoded, self.prompt_token, self.prompt_word))
        return encoded

    @torch.jit.export
    def encode(self, image: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Encode exams (E,V,1,H,W) in [0,1].

        Returns:
            Unit vectors ``view_vector`` (E,V,D), ``side_vector`` (E,S,D), ``exam_vector`` (E,D) and ``region``
            (E,V,D,h,w), 0 for what is absent; ``view_mask`` (E,V), ``side_mask`` (E,S) and ``region_mask`` (E,V,h,w),
            bool, what exists and is not background; ``view_importance`` (E,V), which sums to 1 over the views of a
            side; with a decoder ``transmission`` (E,V,H,W), low where something is abnormal and 1 for absent views, and
            ``enhanced`` (E,V,H,W), 0 for absent views.
        """
        return self._encode(image, True)

    @torch.jit.export
    def encode_text(self, token: Tensor, word: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Encode sentences, see :meth:`common.networks.joint_text_encoder.JointTextEncoder.forward`."""
        return self.text_encoder(token, word)

    @torch.jit.export
    def zero_shot(self, image: Tensor, token: Tensor, word: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Ask for findings by other prompts than those of the network.

        A logit is the mean of two differences, positive minus negative: of the cosines between the side's vector and
        the mean vectors of the prompts, and of the attention-weighted cosines of regions, each times its learned
        factor.

        Args:
            image: exams (E,V,1,H,W) in [0,1].
            token: prompts (S,F,2,Q,T), 0 for padding and for prompts that do not exist.
            word: number of each token's word, of the same shape.

        Returns:
            ``logits`` and ``probability`` (E,S·F), side by side, 0 and 0.5 for a side without a view; ``prompt_map``
            (E,S·F,V,h,w), how much the positive prompts of a finding attend to each region of its side's views, 1 in
            sum, 0 elsewhere.
        """
        return self._ask(self._encode(image, False), token, word)

    def match(self, image: Tensor, token: Tensor, word: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Encode exams and their reports, for the training.

        Args:
            image: exams (E,V,1,H,W) in [0,1].
            token: token numbers (E,N,T) of up to N sentences of each exam, 0 for padding.
            word: number of each token's word (E,N,T), -1 for padding and special tokens.

        Returns:
            What :meth:`encode` returns; ``sentence`` and ``sentence_local`` (E,N,D), unit vectors, and
            ``sentence_mask`` (E,N), bool; ``report_vector`` (E,D), the unit vector along the mean of an exam's
            ``sentence``; with ``words`` ``word_vector`` (E,N,W,D) and ``word_mask`` (E,N,W), bool; ``scale_global``,
            ``scale_local`` and ``sharpness``, 0-d; with a decoder ``region_transmission`` (E,V,h,w), the mean of
            ``transmission`` over the cell of each region.

        Raises:
            ValueError: if no exam of the batch has a sentence, or none has a view.
        """
        outputs = self._encode(image, True)
        mask = (token != 0).any(2)
        rows = torch.where(mask.flatten())[0]
        if len(rows) == 0:
            raise ValueError("no exam of the batch has a sentence: all tokens are 0; are the reports empty?")
        text = self.text_encoder(*trim_padding(token.flatten(0, 1)[rows], word.flatten(0, 1)[rows]))
        names = ("sentence", "sentence_local", *(("word_vector", "word_mask") if self.words else ()))
        for name in names:
            outputs[name] = spread(text[name], rows, mask.numel()).unflatten(0, list(mask.shape))
        outputs["sentence_mask"] = mask
        mean = masked_mean(outputs["sentence"], mask.unsqueeze(2), 1)
        outputs["report_vector"] = F.normalize(mean, dim=1, eps=1e-8)
        outputs["scale_global"] = _factor(self.log_scale_global)
        outputs["scale_local"] = _factor(self.log_scale_local)
        outputs["sharpness"] = _factor(self.log_sharpness)
        if self.decoder is not None:
            grid = (outputs["region"].shape[3], outputs["region"].shape[4])
            outputs["region_transmission"] = region_mean(
                outputs["transmission"], grid, self.region_stride, self.region_offset
            )
        return outputs

    def _encode(self, image: Tensor, decode: bool) -> Dict[str, Tensor]:  # noqa: UP006
        """Encode, and decode where wanted and possible."""
        outputs, features, rows = self.image_encoder(image)
        for name in ("side_feature", "view_weight"):  # of use to heads only
            outputs.pop(name)
        if self.decoder is not None and decode:
            size = (image.shape[3], image.shape[4])
            transmission, enhanced = self.decoder(features[: self.num_taps], size)
            mask = outputs["view_mask"].unsqueeze(2).unsqueeze(3)
            count = mask.numel()
            placed = spread(transmission, rows, count).view(-1, mask.shape[1], size[0], size[1])
            outputs["transmission"] = torch.where(mask, placed, torch.ones_like(placed))
            placed = spread(enhanced, rows, count).view(-1, mask.shape[1], size[0], size[1])
            outputs["enhanced"] = placed * mask.to(placed.dtype)
        return outputs

    def _ask(self, encoded: Dict[str, Tensor], token: Tensor, word: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Compare encoded exams with prompts (S,F,2,Q,T)."""
        S, F_ = token.shape[0], token.shape[1]
        whole, part = self._prompt_vectors(token, word)
        contrast = (whole[:, :, 0] - whole[:, :, 1]).unsqueeze(0)
        difference = (encoded["side_vector"].unsqueeze(2) * contrast).sum(3) * _factor(self.log_scale_global)
        region, mask = encoded["region"], encoded["region_mask"]
        V, h, w = region.shape[1], region.shape[3], region.shape[4]
        regions = region.flatten(3).transpose(2, 3).flatten(1, 2)
        own = mask.flatten(2).unsqueeze(1) & self.membership.unsqueeze(0).unsqueeze(3)  # (E,S,V,R)
        own = own.flatten(2).unsqueeze(2).expand(-1, -1, 2 * F_, -1).flatten(1, 2)
        score, attention = attend_regions(regions, own, part.flatten(0, 2), _factor(self.log_sharpness))
        score = score.unflatten(1, [S, F_, 2])
        local = (score[..., 0] - score[..., 1]) * _factor(self.log_scale_local)
        present = encoded["side_mask"].unsqueeze(2).to(local.dtype)
        logits = ((difference + local) / 2 * present).flatten(1)
        positive = attention.unflatten(1, [S * F_, 2])[:, :, 0]
        return {
            "logits": logits,
            "probability": torch.sigmoid(logits),
            "prompt_map": positive.unflatten(2, [V, h, w]),
        }

    def _prompt_vectors(self, token: Tensor, word: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: UP006
        """Return the unit vectors along the mean of the prompts (S,F,2,D), of both kinds."""
        shape = list(token.shape[:3])
        tokens, words = token.flatten(0, 3), word.flatten(0, 3)
        given = (tokens != 0).sum(1, keepdim=True) > 0
        # The first prompt stands in for those that do not exist: an encoder need not take a text without tokens.
        text = self.text_encoder(torch.where(given, tokens, tokens[:1]), torch.where(given, words, words[:1]))
        mask = given.unflatten(0, shape + [token.shape[3]])  # noqa: RUF005 - TorchScript
        whole = text["sentence"].unflatten(0, shape + [token.shape[3]])  # noqa: RUF005
        part = text["sentence_local"].unflatten(0, shape + [token.shape[3]])  # noqa: RUF005
        whole, part = masked_mean(whole, mask, 3), masked_mean(part, mask, 3)
        return F.normalize(whole, dim=3, eps=1e-8), F.normalize(part, dim=3, eps=1e-8)


def _factor(logarithm: Tensor) -> Tensor:
    """Return a learned factor, at most 100: beyond, single pairs would decide alone."""
    return logarithm.exp().clamp(max=100.0)


def _check_names(views: Sequence[str], view_side: Sequence[int], sides: Sequence[str], num_sides: int) -> None:
    if len(views) != len(view_side):
        raise ValueError(f"views are {list(views)}, view_side is {list(view_side)}; expected one side for each view")
    if len(sides) != num_sides:
        raise ValueError(f"sides are {list(sides)}, but view_side {list(view_side)} numbers {num_sides}")


def _checked_prompts(
    prompts: tuple[Tensor, Tensor], sides: Sequence[str], findings: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Return tokens and word numbers as int64 if they fit the names and no class is without a prompt."""
    token, word = (torch.as_tensor(value).long() for value in prompts)
    expected = (len(sides), len(findings), 2)
    if token.ndim != 5 or tuple(token.shape[:3]) != expected or word.shape != token.shape:
        raise ValueError(
            f"prompts have tokens of shape {tuple(token.shape)} and words of shape {tuple(word.shape)}, expected both "
            f"to be {expected} (sides, findings, positive and negative), prompts, tokens"
        )
    given = (token != 0).any(4).any(3)
    if not bool(given.all()):
        side, finding, negative = (int(index) for index in (~given).nonzero()[0])
        kind = "negative" if negative else "positive"
        raise ValueError(
            f"finding '{findings[finding]}' has no {kind} prompt for side '{sides[side]}'; write one at least"
        )
    if not bool((token[0, 0, 0, 0] != 0).any()):
        raise ValueError("the first prompt has no token; put prompts that exist before those that do not")
    return trim_padding(token, word)
