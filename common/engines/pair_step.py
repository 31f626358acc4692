"""Train on pairs of images that share a disease, and on two views of each: the joint stage of CIPL.

Source: Wang et al., "Cross- and Intra-image Prototypical Learning for Multi-label Disease Diagnosis and
Interpretation", IEEE TMI 2025. Their teacher forgets on resumption that it has begun, and is lost where several
devices train; here it is part of the training's state and equal in all processes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from common.engines.gradients import apply_gradients, gradients_of
from common.layers.co_attention import co_attention
from common.utils.batch_norm import keep_statistics
from common.utils.checkpoint import load_state
from common.utils.choices import check_choice
from common.utils.distributed import is_distributed

__all__ = ["TEACHER_NORMS", "PairStep"]

TEACHER_NORMS = ("batch", "averaged")


class PairStep:
    """A step on B pairs, whose loss is a :class:`common.losses.CIPLLoss`.

    1. The teacher, a moving average of the network, moves on and looks at one view of all 2B images.
    2. The other views pass; what each image has in common with its partner is classified by the same prototypes.
    3. The network takes a step on the stage's loss, and negative weights of the last layer become 0.

    What the loss does not weigh is not computed: without alignment there is no teacher. The stage may train all parts,
    or some, such as "last_layer" alone; a step that several stages refer to keeps its teacher from one to the next.

    A batch has ``image``, ``original`` (the teacher's view, see :class:`common.data.TwoViewsd`), ``label`` (B,C-1) and,
    where the first view was moved, ``affine``; and the same of the partners, within ``partner``
    (:class:`common.data.PairDataset`).

    Args:
        momentum: what the teacher keeps of itself at each step.
        teacher_norm: ``"batch"``: the teacher's batch norms use the statistics of its batch (published);
            ``"averaged"``: the teacher is in evaluation mode, with a moving average of the network's running
            statistics, for small batches.
        joint_batch: let all 2B images pass as one batch; otherwise first images and partners pass one after the other
            (published), which only differs in the statistics of batch norms.
        affinity_scale: see :func:`common.layers.co_attention`.

    Raises:
        ValueError: if an option is out of range or unknown.
    """

    streams = ("pairs",)

    def __init__(
        self,
        momentum: float = 0.999,
        teacher_norm: str = "batch",
        joint_batch: bool = True,
        affinity_scale: float = 1.0,
    ) -> None:
        check_choice("teacher_norm", teacher_norm, TEACHER_NORMS)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}, expected a share from 0 up to, not including, 1")
        if affinity_scale < 0:
            raise ValueError(f"affinity_scale is {affinity_scale}, expected 0 or more")
        self.momentum = momentum
        self.teacher_norm = teacher_norm
        self.joint_batch = joint_batch
        self.affinity_scale = affinity_scale
        self.teacher: Any = None
        self._resumed: dict[str, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the teacher's weights and whether it has begun."""
        teacher = self._resumed if self.teacher is None else self.teacher.state_dict()
        return {"initialised": teacher is not None, "teacher": teacher}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to the moment of :meth:`state_dict`."""
        self.teacher, self._resumed = None, state["teacher"] if state["initialised"] else None

    def begin_epoch(self, trainer: Any) -> None:
        """Make the teacher, a copy of the network, if it has not begun."""
        if self.teacher is None and trainer.stage.loss.uses("interpretation", "prediction"):
            self.teacher = copy.deepcopy(trainer.network_def).requires_grad_(False)
            self.teacher.zero_grad(set_to_none=True)
            if self._resumed is not None:
                load_state(self.teacher, self._resumed, "the teacher of the checkpoint")

    def end_epoch(self, trainer: Any) -> None:
        """Give every process the teacher's statistics of the first, as the trainer does with the network's."""
        if self.teacher is not None and is_distributed():
            for buffer in self.teacher.buffers():
                dist.broadcast(buffer, src=0)

    def __call__(self, trainer: Any, batch: dict[str, Any]) -> dict[str, Any]:
        """Take a step; see :class:`common.types.TrainingStep`."""
        network, loss = trainer.network_def, trainer.stage.loss
        pairs = joined(batch)
        with trainer.autocast():
            taught = self._teach(network, pairs["original"], loss)  # first: it needs memory only for a moment
            outputs = {**taught, **self._outputs(network, pairs["image"], loss.uses("cross"))}
        terms = loss.terms(outputs, pairs)
        reduced = loss.reduce(terms)
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        gradients = gradients_of(trainer, reduced["loss"], parameters)
        apply_gradients(trainer, trainer.optimizer, parameters, gradients)
        trainer.grad_scaler.update()
        network.last_layer.clamp_()
        return {
            "loss": reduced["loss"].item(),
            "terms": {name: value.detach() for name, value in terms.items()},
            "logits": outputs["logits"].detach(),
            "probability": outputs["probability"].detach(),
            "label": pairs["label"],
        }

    def _outputs(self, network: Any, image: Tensor, crossed: bool) -> dict[str, Tensor]:
        """Return what the network says of the images and, if that counts, of what pairs have in common."""
        feature = self._feature(network, image)
        outputs: dict[str, Tensor] = network.explain_feature(feature)
        if crossed:
            first, second = feature.chunk(2)
            common = torch.cat(co_attention(first, second, self.affinity_scale))
            outputs["cross_logits"] = network.classify(common)["logits"]
        return outputs

    def _feature(self, network: Any, image: Tensor) -> Tensor:
        """Return the feature maps (2B,D,h,w) of the images (2B,3,H,W), all first ones before their partners."""
        if self.joint_batch:
            feature: Tensor = network.feature(image)
            return feature
        return torch.cat([network.feature(part) for part in image.chunk(2)])

    @torch.no_grad()
    def _teach(self, network: nn.Module, image: Tensor, loss: Any) -> dict[str, Tensor]:
        """Let the teacher move on and say what it sees, if that counts."""
        if self.teacher is None or not loss.uses("interpretation", "prediction"):
            return {}
        average = get_ema_multi_avg_fn(self.momentum)
        average(self._averaged(self.teacher), self._averaged(network), None)
        self.teacher.train(self.teacher_norm == "batch")
        faster = image.contiguous(memory_format=torch.channels_last)  # by a third, where nothing is differentiated
        with keep_statistics(self.teacher):
            said = self.teacher.explain_feature(self._feature(self.teacher, faster))
        return {"teacher_map": said["similarity_map"], "teacher_logits": said["logits"]}

    def _averaged(self, network: nn.Module) -> list[Tensor]:
        """Return what the teacher has a moving average of: weights and, where it uses them, statistics."""
        buffers = network.buffers() if self.teacher_norm == "averaged" else ()
        return [*network.parameters(), *(buffer for buffer in buffers if buffer.is_floating_point())]


def joined(batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the images of a batch of pairs one after the other.

    Args:
        batch: see :class:`PairStep`; without ``original`` both views are the same.

    Returns:
        ``image``, ``original`` (2B,3,H,W), ``label`` and ``shared_label`` (2B,C-1), the latter what both have, and,
        if the batch has it, ``affine`` (2B,2,3).

    Raises:
        ValueError: if the batch has no pairs.
    """
    if "partner" not in batch:
        raise ValueError(
            f"the batch has only {', '.join(sorted(batch))}, but a step on pairs needs 'partner'; give the trainer a "
            "common.data.PairLoader, or a loader of a common.data.PairDataset"
        )
    partner = batch["partner"]
    both = {
        name: torch.cat([batch[name], partner[name]])
        for name in ("image", "original", "label", "affine")
        if name in batch
    }
    shared = batch["label"] * partner["label"]
    return {"original": both["image"], **both, "shared_label": torch.cat([shared, shared])}
