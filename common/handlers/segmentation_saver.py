"""Save segmentations as images in the size of their source."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from PIL import Image

from common.data.placement import Placement
from common.data.structures import Structure
from common.explain.case_folder import folder_name
from common.utils.files import write_json, write_text


class SegmentationSaver:
    """Write ``segmentations/<case>.png``, ``segmentations/values.json`` and ``predictions.csv``.

    A picture holds the structure of every pixel of the source image, 0 for the background; ``values.json`` names them.
    The table has one row per case with the share of the image that each structure fills.

    Reads decollated outputs, as MONAI's SupervisedEvaluator leaves them: a list of dictionaries with the probabilities
    (K, h, w) under "pred"; "case_id", "source_size" and, where it was cropped, "crop" from the batch.
    """

    def __init__(self, output_dir: str | Path, structures: Sequence[Structure]) -> None:
        """Say what to write.

        Args:
            output_dir: the run folder.
            structures: the label map, as :func:`common.data.load_structures` returns it.
        """
        self.output_dir = Path(output_dir)
        self.names = [str(structure["name"]) for structure in structures]
        self.rows: list[list[str]] = []

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._save)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self.rows = []
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "values.json", dict(enumerate(self.names)))

    @property
    def folder(self) -> Path:
        """Where the pictures go."""
        return self.output_dir / "segmentations"

    def _save(self, engine: Engine) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            probability = torch.as_tensor(output["pred"]).detach().float().cpu()
            labels = Placement.of(item).to_source(probability).argmax(0)
            Image.fromarray(labels.byte().numpy()).save(self.folder / f"{folder_name(str(item['case_id']))}.png")
            self.rows.append([str(item["case_id"]), *self._shares(labels)])

    def _shares(self, labels: Any) -> list[str]:
        return [f"{(labels == index).float().mean().item():.6f}" for index in range(1, len(self.names))]

    def _write(self, engine: Engine) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["case_id", *(f"share/{name}" for name in self.names[1:])])
        writer.writerows(self.rows)
        write_text(self.output_dir / "predictions.csv", text.getvalue())
