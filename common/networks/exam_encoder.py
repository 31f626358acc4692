"""Image encoder for exams of several views: one vector per view, side and exam, and one per region.

Sources: Huang et al., "GLoRIA", ICCV 2021 (global and local vectors); the recipe was found on synthetic exams.
"""

# No postponed annotations in this file: TorchScript must see the result types.

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Dict, List, Tuple  # noqa: UP035 - TorchScript reads this spelling

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.layers.masking import masked_mean
from common.layers.region_grid import region_mean
from common.networks.exam_fusion import GatedAttention, ViewFusion, kinds_of, membership_of
from common.networks.view_trunk import build_view_trunk
from common.utils.checkpoint import LoadReport, load_state, load_weights_only, tensors_of
from common.utils.choices import check_choice
from common.utils.precision import at_least_float32

__all__ = ["BACKGROUND", "HEADS", "ExamEncoder", "check_exam", "load_image_encoder", "present_views", "spread"]

HEADS = ("global", "local")
#: Mean grey of a region up to which it shows nothing.
BACKGROUND = 30 / 255
HIDDEN = 256
SIDE_CODE = 8
PREFIX = "image_encoder."

logger = logging.getLogger(__name__)


def present_views(image: Tensor) -> Tensor:
    """Find the views that exist (E,V), bool, in exams (E,V,C,H,W): those with any pixel above 0."""
    return image.flatten(2).amax(2) > 0


def spread(values: Tensor, rows: Tensor, count: int) -> Tensor:
    """Put the results of some views in their places among all views; the others get 0.

    Args:
        values: results (P,...) of P views.
        rows: their places (P,), ascending.
        count: number of all places.

    Returns:
        Results (count,...).
    """
    if values.shape[0] == count:
        return values
    return values.new_zeros([count] + list(values.shape[1:])).index_copy(0, rows, values)  # noqa: RUF005 - TorchScript


def check_exam(image: Tensor, num_views: int, in_channels: int) -> None:
    """Check the shape of a batch of exams; does nothing while a graph is traced.

    Args:
        image: batch of exams (E,V,C,H,W).
        num_views: number of view slots V that the network was built for.
        in_channels: number of channels C that the network was built for.

    Raises:
        ValueError: naming the given and the expected shape.
    """
    if torch.jit.is_tracing():
        return
    if image.ndim != 5 or image.shape[1:3] != (num_views, in_channels):
        raise ValueError(
            f"got a tensor of shape {tuple(image.shape)}, expected exams (E,{num_views},{in_channels},H,W): "
            f"{num_views} view slots, those without an image filled with 0"
        )


class GlobalHead(nn.Module):
    """Pooled features and the code of their side, a hidden layer, and a unit vector.

    Args:
        channels: channels of the pooled feature.
        num_sides: sides S.
        joint_width: length D of the vector.
    """

    def __init__(self, channels: int, num_sides: int, joint_width: int) -> None:
        super().__init__()
        self.side_code = nn.Embedding(num_sides, SIDE_CODE)
        self.hidden = nn.Linear(channels + SIDE_CODE, HIDDEN)
        self.out = nn.Linear(HIDDEN, joint_width)

    def forward(self, feature: Tensor, side: Tensor) -> Tensor:
        """Turn features (E,K,2C) of K things, each of a side (K,), into unit vectors (E,K,D), float32."""
        code = self.side_code(side).unsqueeze(0).expand(feature.shape[0], -1, -1)
        vector = self.out(F.relu(self.hidden(torch.cat([feature, code], dim=2))))
        return F.normalize(at_least_float32(vector), dim=2, eps=1e-8)


class LocalHead(nn.Module):
    """Centred features, projected, and the code of the view's kind: a unit vector for each region.

    The centring, a batch norm without parameters, takes out what all regions have in common. No code tells the side:
    the regions of an empty background would carry it, and answer "left" or "right" in place of findings.

    Args:
        channels: channels of the feature map.
        num_kinds: kinds of views, such as CC and MLO.
        joint_width: length D of the vectors.
    """

    def __init__(self, channels: int, num_kinds: int, joint_width: int) -> None:
        super().__init__()
        self.centring = nn.BatchNorm2d(channels, affine=False)
        self.project = nn.Conv2d(channels, joint_width, kernel_size=1, bias=False)
        self.kind_code = nn.Embedding(num_kinds, joint_width)
        nn.init.normal_(self.kind_code.weight, std=0.02)

    def forward(self, feature: Tensor, kind: Tensor) -> Tensor:
        """Turn maps (P,C,h,w) of views of some kinds (P,) into unit vectors (P,D,h,w), float32."""
        vector = self.project(self.centring(feature)) + self.kind_code(kind).unsqueeze(2).unsqueeze(3)
        return F.normalize(at_least_float32(vector), dim=1, eps=1e-8)


class ExamEncoder(nn.Module):
    """Encodes all views of all exams as one batch, and joins those of a side and those of the exam.

    A view that is absent (all pixels 0) changes nothing: in training it is not computed and so is in no batch norm, and
    its results are 0. Parts: ``trunks``, ``fusion``, ``global_head``, ``local_head``, ``exam_attention``.

    Args:
        name: see :func:`common.networks.view_trunk.build_view_trunk`.
        view_side: index of the side of each of the V view slots, e.g. [0, 0, 1, 1].
        joint_width: length D of all vectors.
        fusion: ``"mean"`` or ``"attention"``, see :class:`common.networks.exam_fusion.ViewFusion`; sides are joined to
            the exam by the mean of their vectors or by a gated attention.
        shared: one trunk for all views; else one for each kind of view (CC, MLO), as published.
        heads: which vectors are made: ``"global"`` (view, side, exam), ``"local"`` (regions), both or none.
        in_channels: image channels.
        weights: start weights of the trunks.
        mean: channel means subtracted from the image; None for 0.
        std: channel standard deviations that the image is divided by; None for 1.
        background: mean grey up to which a region is background, in [0,1).

    Attributes:
        feature_channels: channels 2C of a side's feature.
        channels: channels of the feature maps, the finest first; their strides are 2, 4, 8, ...
        local_level: which feature map the regions are made of.
        region_stride: pixels between the centres of neighbouring regions.
        region_offset: pixel that the first region is centred on, see :mod:`common.layers.region_grid`.

    Raises:
        ValueError: if an option is out of range or unknown.
    """

    membership: Tensor
    side: Tensor
    kind: Tensor

    def __init__(
        self,
        name: str = "tiny",
        view_side: Sequence[int] = (0, 0, 1, 1),
        joint_width: int = 128,
        fusion: str = "mean",
        shared: bool = True,
        heads: Collection[str] = HEADS,
        in_channels: int = 1,
        weights: str | Path | None = None,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        background: float = BACKGROUND,
    ) -> None:
        super().__init__()
        for head in heads:
            check_choice("head", head, HEADS)
        if joint_width < 1:
            raise ValueError(f"joint_width is {joint_width}, expected a positive length of the vectors")
        if not 0 <= background < 1:
            raise ValueError(f"background is {background}, expected a grey value in [0,1)")
        membership, kinds = membership_of(view_side), kinds_of(view_side)
        num_trunks = 1 if shared else max(kinds) + 1
        trunks = [build_view_trunk(name, in_channels, weights, mean, std) for _ in range(num_trunks)]
        self.register_buffer("membership", membership, persistent=False)
        self.register_buffer("side", torch.tensor(list(view_side)), persistent=False)
        self.register_buffer("kind", torch.tensor(kinds), persistent=False)
        self.in_channels, self.background, self.num_views = in_channels, background, len(kinds)
        self.slots = [[slot for slot, own in enumerate(kinds) if own == number] for number in range(max(kinds) + 1)]
        self.channels, self.local_level = trunks[0].channels, trunks[0].local_level
        self.region_stride, self.region_offset = trunks[0].stride_of(self.local_level)
        self.last_stride, self.last_offset = trunks[0].stride_of(len(self.channels) - 1)
        self.feature_channels = 2 * self.channels[-1]
        self.trunks = nn.ModuleList(trunks)
        self.fusion = ViewFusion(self.feature_channels, view_side, fusion)
        self.global_head = (
            GlobalHead(self.feature_channels, len(membership), joint_width) if "global" in heads else None
        )
        attended = fusion == "attention" and "global" in heads
        self.exam_attention = GatedAttention(joint_width) if attended else None
        local = self.channels[self.local_level]
        self.local_head = LocalHead(local, max(kinds) + 1, joint_width) if "local" in heads else None

    def forward(self, image: Tensor) -> Tuple[Dict[str, Tensor], List[Tensor], Tensor]:  # noqa: UP006
        """Encode exams.

        Args:
            image: exams (E,V,C,H,W) in [0,1], absent views filled with 0.

        Returns:
            outputs: ``view_mask`` (E,V) and ``side_mask`` (E,S), bool, what exists; ``side_feature`` (E,S,2C),
                ``view_weight`` (E,S,V) and ``view_importance`` (E,V), which sums to 1 over the views of a side; with
                the global head unit vectors ``view_vector`` (E,V,D), ``side_vector`` (E,S,D) and ``exam_vector`` (E,D);
                with the local head ``region`` (E,V,D,h,w), unit vectors, and ``region_mask`` (E,V,h,w), bool: regions
                of existing views that are not background.
            features: the trunk's maps (P,C_l,h_l,w_l), the finest first, of those views that were computed.
            rows: which of the E·V views these are (P,): all in evaluation, the existing ones in training.

        Raises:
            ValueError: in eager mode, for another shape, or in training a batch without any view.
        """
        if not torch.jit.is_scripting():
            check_exam(image, self.num_views, self.in_channels)
        view_mask = present_views(image)
        views = image.flatten(0, 1)
        rows = torch.arange(views.shape[0], device=image.device)
        if self.training:
            rows = rows[view_mask.flatten()]
            views = views[rows]
            if rows.shape[0] == 0:
                raise ValueError("no exam of the batch has any view: all pixels are 0")
        kind = self.kind[rows % self.num_views]
        features = self._features(views, kind)
        outputs = self._fuse(features[-1], rows, view_mask)
        if self.local_head is not None:
            local = self.local_head(features[self.local_level], kind)
            region = spread(local, rows, view_mask.numel()).unflatten(0, [-1, self.num_views])
            outputs["region"] = region * view_mask.view(-1, self.num_views, 1, 1, 1).to(region.dtype)
            grid = (region.shape[3], region.shape[4])
            grey = region_mean(at_least_float32(image.mean(2)), grid, self.region_stride, self.region_offset)
            shown = grey > self.background
            dark = (shown.flatten(2).sum(2) == 0).view(-1, self.num_views, 1, 1)  # as a whole: then nothing is left out
            outputs["region_mask"] = (shown | dark) & view_mask.view(-1, self.num_views, 1, 1)
        return outputs, features, rows

    def _features(self, views: Tensor, kind: Tensor) -> List[Tensor]:  # noqa: UP006
        """Compute the maps of views (P,C,H,W), each by the trunk of its kind (P,)."""
        features: List[Tensor] = []  # noqa: UP006
        if len(self.trunks) == 1:
            for trunk in self.trunks:
                features = trunk(views)
            return features
        for number, trunk in enumerate(self.trunks):
            if self.training:
                own = torch.where(kind == number)[0]
            else:  # all views of all exams: known without a look at values, as exported graphs want it
                own = torch.arange(views.shape[0], device=views.device).unflatten(0, [-1, self.num_views])
                own = own[:, torch.tensor(self.slots[number], device=views.device)].flatten()
            if own.shape[0] > 0:
                for level, values in enumerate(trunk(views[own])):
                    placed = spread(values, own, views.shape[0])
                    if len(features) > level:
                        features[level] = features[level] + placed
                    else:
                        features.append(placed)
        return features

    def _fuse(self, feature: Tensor, rows: Tensor, view_mask: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
        """Pool the last maps (P,C,h,w) and join them."""
        pooled = torch.cat([feature.amax(dim=(2, 3)), feature.mean(dim=(2, 3))], dim=1)
        views = spread(at_least_float32(pooled), rows, view_mask.numel()).unflatten(0, [-1, self.num_views])
        views = views * view_mask.unsqueeze(2).to(views.dtype)
        side_feature, weight = self.fusion(views, view_mask)
        side_mask = (view_mask.unsqueeze(1) & self.membership.unsqueeze(0)).sum(2) > 0
        outputs = {
            "view_mask": view_mask,
            "side_mask": side_mask,
            "side_feature": side_feature,
            "view_weight": weight,
            "view_importance": weight.sum(1),
        }
        if self.global_head is not None:
            sides = torch.arange(side_mask.shape[1], device=feature.device)
            view_vector = self.global_head(views, self.side)
            side_vector = self.global_head(side_feature, sides)
            outputs["view_vector"] = view_vector * view_mask.unsqueeze(2).to(view_vector.dtype)
            outputs["side_vector"] = side_vector * side_mask.unsqueeze(2).to(side_vector.dtype)
            mean = masked_mean(side_vector, side_mask.unsqueeze(2), 1)
            if self.exam_attention is not None:
                share = self.exam_attention(side_vector, side_mask.unsqueeze(1)).squeeze(1)
                mean = (share.unsqueeze(2) * side_vector).sum(1)
            outputs["exam_vector"] = F.normalize(mean, dim=1, eps=1e-8)
        return outputs


def load_image_encoder(encoder: ExamEncoder, weights: str | Path) -> LoadReport:
    """Load the image encoder of a pre-trained network into one that may lack its heads.

    Args:
        encoder: changed in place.
        weights: file of a :class:`common.networks.MultiViewReportNet` or of anything else with an ``image_encoder``.

    Returns:
        What was loaded and what was left out, logged too. All that the encoder has must be there and fit.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no image encoder, or one that does not fit.
    """
    state = tensors_of(load_weights_only(weights), source=str(weights))
    found = {key.removeprefix(PREFIX): value for key, value in state.items() if key.startswith(PREFIX)}
    if not found:
        raise ValueError(
            f"{weights} holds no tensor named {PREFIX}...; expected the model.pt of a pre-training on exams and reports"
        )
    parts = [name for name, part in encoder.named_children() if part is not None]
    kept = {key: value for key, value in found.items() if key.split(".")[0] in parts}
    left_out = sorted({key.split(".")[0] for key in found} - set(parts))
    report = load_state(encoder, kept, f"image encoder of {weights}")
    if left_out:
        report = replace(report, notes=(*report.notes, f"{', '.join(left_out)} left out, not needed here"))
    logger.info("%s", report)
    return report
