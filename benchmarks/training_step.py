"""Training steps: the first stage without its constant explainer, and the joint stage against its published form."""

from __future__ import annotations

import copy
import statistics
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks._timing import in_turns, torch_threads
from common.losses import ExplainerClassifierLoss
from common.networks import ExplainerClassifier

SIZE = 224
BATCH = 4
ALPHA = 0.9
BETA = 0.9


def make_network(train_explainer: bool) -> ExplainerClassifier:
    """Build an untrained ResNet-18 with its explainer, ready for a training step.

    Args:
        train_explainer: otherwise it is frozen, as in the first stage: in evaluation mode and without gradients.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ExplainerClassifier().train()
    if not train_explainer:
        network.explainer.requires_grad_(False).eval()
    return network


def make_batch(count: int, size: int) -> dict[str, Tensor]:
    """Make ``image`` (B,3,H,W) of noise and ``label`` (B,) of both classes."""
    image = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))
    return {"image": image, "label": torch.arange(count) % 2}


def published_classify(network: ExplainerClassifier, image: Tensor, explanation: Tensor) -> Tensor:
    """Classify as the code of icrto/xML does: pool the map from stage to stage and repeat it for every channel.

    Args:
        network: with a gated ResNet.
        image: images (B,C,H,W) in [0,1], sides divisible by 32.
        explanation: relevance map (B,1,H,W) in [0,1].

    Returns:
        Logits (B,K).
    """
    resnet: Any = network.classifier
    feature = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1((image - network.mean) / network.std))))
    pooled = F.avg_pool2d(explanation, 4)
    feature = feature * _repeated(pooled, feature)
    for number, stage in enumerate((resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4)):
        pooled = F.avg_pool2d(pooled, 2) if number else pooled
        for block in stage:
            feature = block(feature)
            feature = feature * _repeated(pooled, feature)
    return resnet.fc(torch.flatten(resnet.avgpool(feature), 1))


def published_loss(logits: Tensor, label: Tensor, explanation: Tensor) -> Tensor:
    """Compute the unsupervised joint loss as the code of icrto/xML does, in a loop over the samples."""
    explained = []
    for one in explanation:
        z = one[0]
        rows = (z[1:, :] - z[:-1, :]).abs().sum() / z[1:, :].numel()
        columns = (z[:, 1:] - z[:, :-1]).abs().sum() / z[:, 1:].numel()
        explained.append(BETA * z.abs().mean() + (1 - BETA) * (rows + columns))
    return ALPHA * F.cross_entropy(logits, label) + (1 - ALPHA) * torch.stack(explained).mean()


class Training:
    """One network, its optimiser, and the ways to take a step with them; each instance has its own copy.

    Args:
        network: is copied.
        alpha: weight of the classification loss.
        method: the network's method to call, ``explain`` or ``explain_constant``; ``published`` for the joint step as
            the reference's code has it.
    """

    def __init__(self, network: ExplainerClassifier, alpha: float, method: str) -> None:
        self.network = copy.deepcopy(network)
        self.method = method
        self.loss = ExplainerClassifierLoss(alpha, BETA)
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step(self, batch: dict[str, Tensor]) -> float:
        """Take a step and return the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        if self.method == "published":
            explanation = self.network.explanation(batch["image"])
            logits = published_classify(self.network, batch["image"], explanation)
            loss = published_loss(logits, batch["label"], explanation)
        else:
            loss = self.loss(getattr(self.network, self.method)(batch["image"]), batch)["loss"]
        loss.backward()
        self.optimizer.step()
        return loss.item()


def run(repeats: int = 3, threads: int = 2) -> dict[str, Any]:
    """Time a step of the first and of the joint stage, ResNet-18, 224 pixels, batch 4.

    Args:
        repeats: timed steps of each, at least 1; the medians are compared.
        threads: torch's intra-operation threads.

    Returns:
        name, slow_s, fast_s (medians), ratio and target of the first stage; max_difference of its logits, which comes
        from the untouched explainer's map not being exactly constant (map_difference); the joint stage's times, ratio
        and difference of the losses.
    """
    batch = make_batch(BATCH, SIZE)
    with torch_threads(threads):
        first, joint = make_network(train_explainer=False), make_network(train_explainer=True)
        logits_differ, map_differs = _constant_map_differences(first, batch["image"])
        obvious, ours = Training(first, 1.0, "explain"), Training(first, 1.0, "explain_constant")
        published, vectorised = Training(joint, ALPHA, "published"), Training(joint, ALPHA, "explain")
        joint_difference = abs(published.step(batch) - vectorised.step(batch))
        seconds = in_turns(
            repeats,
            slow=lambda: obvious.step(batch),
            fast=lambda: ours.step(batch),
            published=lambda: published.step(batch),
            vectorised=lambda: vectorised.step(batch),
        )
    median = {name: statistics.median(values) for name, values in seconds.wall.items()}
    return {
        "name": "training_step",
        "slow_s": median["slow"],
        "fast_s": median["fast"],
        "ratio": median["slow"] / median["fast"],
        "target": 1.6,
        "max_difference": logits_differ,
        "map_difference": map_differs,
        "joint_slow_s": median["published"],
        "joint_fast_s": median["vectorised"],
        "joint_ratio": median["published"] / median["vectorised"],
        "joint_loss_difference": joint_difference,
        "network": "resnet18",
        "image_size": SIZE,
        "batch": BATCH,
        "repeats": repeats,
        "threads": threads,
        "note": "first stage without running its constant explainer; joint against channel-wise gates and looped loss",
    }


def _repeated(pooled: Tensor, feature: Tensor) -> Tensor:
    return torch.cat([pooled] * feature.shape[1], dim=1)


def _constant_map_differences(network: ExplainerClassifier, image: Tensor) -> tuple[float, float]:
    """Compare logits and maps with and without running the untouched explainer; statistics stay as they are."""
    with torch.no_grad():
        drawn = copy.deepcopy(network).explain(image)
        constant = copy.deepcopy(network).explain_constant(image)
    gap = {key: float((drawn[key] - constant[key]).abs().max()) for key in ("logits", "explanation")}
    return gap["logits"], gap["explanation"]
