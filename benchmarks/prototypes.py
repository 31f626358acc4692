"""Prototypes, the slow way too: distances, affine consistency, the head at inference, and fitting the last layer."""

from __future__ import annotations

import statistics
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks._timing import in_turns, torch_threads
from common.data import affine_matrix
from common.layers import fit_last_layer, squared_distance
from common.losses import affine_consistency
from common.networks import InterNRL

BACKBONE = "efficientnet-b0"
CHANNELS = 128
MAP = (48, 24)  # of the published images, 1536 x 768 pixels
STRIDE = 32
BATCH = 8
MOVED = 2  # images, two maps each, for the affine term
PROTOTYPES = 400
IMAGE = (192, 96)  # for the whole network, which is the same at every size but for its duration
IMAGES = 4
CASES = 256  # for the last layer


def two_convolutions(feature: Tensor, prototype: Tensor) -> Tensor:
    """Compute squared distances (B,P,h,w) as ProtoPNet does: the sum of squares too is a convolution, with ones."""
    kernel = prototype[:, :, None, None]
    norms = F.conv2d(feature**2, torch.ones_like(kernel))
    products = F.conv2d(feature, kernel)
    return F.relu(norms + (-2 * products + (kernel**2).sum((1, 2, 3)).view(-1, 1, 1)))


def full_resolution(moved: Tensor, original: Tensor, affine: Tensor) -> Tensor:
    """Compute the affine term (B,) on maps enlarged to the image's size."""
    size = [STRIDE * moved.shape[2], STRIDE * moved.shape[3]]
    large, source = (F.interpolate(maps, size=size, mode="bilinear") for maps in (moved, original))
    return affine_consistency(large, source, affine)


def run(repeats: int = 3, threads: int = 2) -> dict[str, Any]:
    """Time each pair in turns.

    Args:
        repeats: timed runs of each.
        threads: torch's intra-operation threads.

    Returns:
        name; slow_s (two convolutions) and fast_s (one product) of the distances, medians, their ratio and
        max_difference; affine_ratio, full resolution over the maps' own; head_share, what the prototype head adds to
        both bare branches at inference; last_layer_ratio, a pass over images over one over cached similarities.
    """
    generator = torch.Generator().manual_seed(0)
    feature = torch.rand(BATCH, CHANNELS, *MAP, generator=generator)
    prototype = torch.rand(PROTOTYPES, CHANNELS, generator=generator)
    moved, original = torch.rand(2, MOVED, 2, *MAP, generator=generator)
    affine = affine_matrix(*MAP, angle=7.0, right=0.1, scale=1.03, shear_x=4.0)[None].expand(MOVED, 2, 3)
    network = InterNRL(BACKBONE, prototypes_per_class=PROTOTYPES // 2, prototype_channels=CHANNELS).eval()
    student, layer = network.student, network.student.last_layer
    image = torch.rand(IMAGES, 3, *IMAGE, generator=generator)
    cached = torch.rand(CASES, PROTOTYPES, generator=generator)
    label = torch.arange(CASES) % 2
    optimizer = torch.optim.Adam(layer.parameters(), 1e-3)
    with torch_threads(threads):
        with torch.no_grad():
            difference = two_convolutions(feature, prototype) - squared_distance(feature, prototype)
            shared = network.stem(image)
            trunk = student.trunk(shared)
            seconds = in_turns(
                repeats,
                slow=lambda: two_convolutions(feature, prototype),
                fast=lambda: squared_distance(feature, prototype),
                affine_full=lambda: full_resolution(moved, original, affine),
                affine_maps=lambda: affine_consistency(moved, original, affine),
                bare=lambda: (network.teacher(network.stem(image)), student.trunk(shared).mean((2, 3))),
                head=lambda: student.classify(student.add_on(trunk)),
                images=lambda: student(network.stem(image)),
            )
        fitting = in_turns(repeats, fit=lambda: fit_last_layer(layer, optimizer, cached, label, F.cross_entropy, 1))
    median = {name: statistics.median(values) for name, values in (seconds.cpu | fitting.cpu).items()}
    return {
        "name": "prototypes",
        "slow_s": median["slow"],
        "fast_s": median["fast"],
        "ratio": median["slow"] / median["fast"],
        "target": "ratio 1.8, affine 8, head share 0.05, last layer 20",
        "max_difference": float(difference.abs().max()),
        "affine_ratio": median["affine_full"] / median["affine_maps"],
        "head_share": median["head"] / median["bare"],
        "last_layer_ratio": (median["images"] / IMAGES) / (median["fit"] / CASES),
        "backbone": BACKBONE,
        "batch": BATCH,
        "repeats": repeats,
        "threads": threads,
        "note": "CPU seconds; the head is measured by itself, the last layer as one pass over its cases",
    }
