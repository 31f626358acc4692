"""Data loading: the transforms of train.json from files, from the cache, in worker processes, and beside training."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from monai.bundle import ConfigParser
from monai.data.utils import list_data_collate
from monai.transforms import Compose
from torch import Tensor

from benchmarks._timing import in_turns, torch_threads
from benchmarks.training_step import Training, make_batch, make_network
from common.data import CaseCacheDataset, CaseLoader, load_section
from common.data.phantoms import ShapesSettings, write_shapes
from common.utils.bundle import Bundle

BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "xml_explainer_classification"
SOURCE_SIZE = 512  # of the files: grey, 8 bit, as slices of MRI and CT are
SIZE = 224
BATCH = 8
CASES = 24
REREAD = 2  # times that each case comes up in a timed epoch of reading
#: What each transform's time counts as; all others are checks and conversions.
PARTS = {"LoadImaged": "decode", "RoiMaskd": "mask", "Resized": "resize", "Rand": "augment", "collate": "collate"}


#: Ways to load: whether what never changes is cached, and the processes that load (0: the training's own).
SETUPS = {
    "files_0_workers": (False, 0),
    "files_2_workers": (False, 2),
    "cache_0_workers": (True, 0),
    "cache_2_workers": (True, 2),
}
SLOW, FAST = "files_0_workers", "cache_0_workers"
TRAINED = (SLOW, "files_2_workers", FAST)  # setups that a training is timed with


class Waiting(NamedTuple):
    """How an epoch of training passed.

    Attributes:
        waited: seconds spent waiting for the next batch.
        wall: seconds in all.
        cpu: CPU seconds of this process and its workers.
    """

    waited: float
    wall: float
    cpu: float


def write_cases(folder: Path) -> list[dict[str, Any]]:
    """Write a phantom data set of noisy PNG files, half with a mask, and return its cases."""
    radius = (SOURCE_SIZE // 12, SOURCE_SIZE // 8)
    options = {"count": CASES, "size": SOURCE_SIZE, "channels": 1, "radius": radius, "stroke": 4, "noise": 8}
    settings = ShapesSettings.from_options({**options, "validation_fraction": 0, "test_fraction": 0})
    write_shapes(settings, folder, progress=False)
    return load_section(folder / "datalist.json", "training")


def train_transforms() -> Compose:
    """Build the training's transforms from train.json, for images of ``SIZE`` pixels."""
    parser: ConfigParser = Bundle(BUNDLE).parser("train")
    parser["image_size"] = SIZE
    transforms: Compose = parser.get_parsed_content("train::preprocessing")
    return transforms


def make_dataset(cases: Sequence[dict[str, Any]], cached: bool) -> CaseCacheDataset:
    """Build the data set as train.json does; its cache is filled here."""
    return CaseCacheDataset(cases, train_transforms(), cache_num=len(cases) if cached else 0, progress=False)


def make_loaders(datasets: Mapping[bool, CaseCacheDataset], rounds: int = 1) -> dict[str, CaseLoader]:
    """Build the loader of each setup, which reads the cases in order, ``rounds`` times over."""
    order = [*range(len(datasets[False]))] * rounds
    return {
        name: CaseLoader(datasets[cached], batch_size=BATCH, num_workers=workers, sampler=order)
        for name, (cached, workers) in SETUPS.items()
    }


def first_batch(dataset: CaseCacheDataset) -> dict[str, Any]:
    """Load a batch whose random transforms are seeded."""
    loader = CaseLoader(dataset, batch_size=BATCH)
    dataset.transform.set_random_state(0)  # after MONAI's loader was built, which seeds them itself
    batch: dict[str, Any] = next(iter(loader))
    return batch


def time_parts(cases: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Apply the transforms one after the other to every case, then collate.

    Returns:
        Milliseconds per case of each of ``PARTS`` and of ``checks``, the rest.
    """
    seconds = dict.fromkeys([*PARTS.values(), "checks"], 0.0)

    def timed(part: str, compute: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = compute()
        seconds[part] += time.perf_counter() - begin
        return result

    items = list(cases)
    for transform in train_transforms().transforms:
        name = type(transform).__name__
        part = PARTS.get("Rand" if name.startswith("Rand") else name, "checks")
        items = [timed(part, partial(transform, item)) for item in items]
    for start in range(0, len(items), BATCH):
        timed("collate", partial(list_data_collate, items[start : start + BATCH]))
    return {part: 1000 * value / len(cases) for part, value in seconds.items()}


def wait_while_training(loader: Iterable[dict[str, Any]], step: Callable[[dict[str, Any]], Any]) -> Waiting:
    """Train an epoch and measure how long each step had to wait for its batch.

    Args:
        loader: yields batches.
        step: trains with one.
    """
    begin, cpu, waited = time.perf_counter(), sum(os.times()[:4]), 0.0
    batches = iter(loader)
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        waited += time.perf_counter() - asked
        if batch is None:
            return Waiting(waited, time.perf_counter() - begin, sum(os.times()[:4]) - cpu)
        step(batch)


def run(repeats: int = 3, threads: int = 2) -> dict[str, Any]:
    """Time an epoch of reading and an epoch of first-stage training, the one that asks for most data, in each setup.

    Files are in the system's cache; workers are started anew in each epoch, as in a training.

    Args:
        repeats: timed epochs of each, at least 1; medians are reported.
        threads: torch's intra-operation threads.

    Returns:
        name; slow_s (files), fast_s (cache), seconds of a reading epoch without workers, and their ratio;
        max_difference of a batch; for each setup samples per second and, while training, the share of time spent
        waiting and the cores kept busy; milliseconds per image of each part; peak memory of training steps.
    """
    with torch_threads(threads), TemporaryDirectory() as folder:
        memory, step = _training_memory()
        cases = write_cases(Path(folder) / "shapes")
        begin = time.perf_counter()
        datasets = {True: make_dataset(cases, cached=True)}
        fill_s = time.perf_counter() - begin
        datasets[False] = make_dataset(cases, cached=False)
        slow, fast = first_batch(datasets[False]), first_batch(datasets[True])
        loaders = make_loaders(datasets, REREAD)
        reading = in_turns(repeats, **{name: partial(deque, loader, maxlen=0) for name, loader in loaders.items()})
        parts = [time_parts(cases) for _ in range(repeats)]
        training = _train_in_turns(make_loaders(datasets), step, repeats)
    median = {name: statistics.median(values) for name, values in reading.wall.items()}
    return {
        "name": "data_loading",
        "slow_s": median[SLOW],
        "fast_s": median[FAST],
        "ratio": median[SLOW] / median[FAST],
        "target": "both cores busy while training",
        "max_difference": max(float((slow[key] - fast[key]).abs().max()) for key in ("image", "mask")),
        **{f"{name}_per_s": CASES * REREAD / seconds for name, seconds in median.items()},
        **{f"{part}_ms": statistics.median(one[part] for one in parts) for part in parts[0]},
        "cache_fill_s": fill_s,
        **training,
        **memory,
        "source_size": SOURCE_SIZE,
        "image_size": SIZE,
        "batch": BATCH,
        "cases": CASES,
        "repeats": repeats,
        "threads": threads,
        "note": "the transforms of train.json on files against its cache; training is of the first stage",
    }


def _train_in_turns(
    loaders: Mapping[str, CaseLoader], step: Callable[[dict[str, Any]], Any], repeats: int
) -> dict[str, float]:
    """Train an epoch in each of ``TRAINED``, in turns, and give the medians of what was measured."""
    epochs: dict[str, list[Waiting]] = {name: [] for name in TRAINED}
    for _ in range(repeats):
        for name in TRAINED:
            epochs[name].append(wait_while_training(loaders[name], step))
    figures = {}
    for name, measured in epochs.items():
        figures[f"{name}_training_per_s"] = statistics.median(CASES / one.wall for one in measured)
        figures[f"{name}_waiting_share"] = statistics.median(one.waited / one.wall for one in measured)
        figures[f"{name}_cores_busy"] = statistics.median(one.cpu / one.wall for one in measured)
    return figures


def _training_memory() -> tuple[dict[str, float], Callable[[dict[str, Tensor]], float]]:
    """Take a step of the first and of the joint stage; return the peaks so far in MB and the first stage's step."""
    batch = make_batch(BATCH, SIZE)
    memory = {"memory_before_mb": _peak_mb()}
    first = Training(make_network(train_explainer=False), 1.0, "explain_constant")
    first.step(batch)
    memory["first_stage_peak_mb"] = _peak_mb()
    Training(make_network(train_explainer=True), 0.9, "explain").step(batch)
    memory["joint_stage_peak_mb"] = _peak_mb()
    return memory, first.step


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
