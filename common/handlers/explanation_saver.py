"""Save the explanation of every case, and the report of the whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from common.explain.case_folder import save_explanation
from common.explain.record import build_record
from common.explain.report import write_report


class ExplanationSaver:
    """Write ``explanations/<case>/`` for every case of an engine's run, and ``report.html`` at its end.

    Reads "probability" (B, C) and "explanation" (B, 1, H, W) from the output; "image", "case_id" and, where known,
    "source_size", "label" and "mask" from the batch.
    """

    def __init__(
        self,
        output_dir: str | Path,
        method: str,
        classes: Sequence[str],
        items: Sequence[Mapping[str, Any]] = (),
        max_cards: int | None = None,
    ) -> None:
        """Say what to write.

        Args:
            output_dir: the run folder.
            method: name of the bundle, written into every record.
            classes: names of the C classes.
            items: the data, for image paths and patients as the user's table gives them.
            max_cards: explain only so many cases; None explains all.
        """
        self.output_dir = Path(output_dir)
        self.method = method
        self.classes = list(classes)
        self.items = {str(item["case_id"]): item for item in items}
        self.max_cards = max_cards
        self.written = 0

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._save_batch)
        engine.add_event_handler(Events.COMPLETED, self._report)

    def _start(self, engine: Engine) -> None:
        self.written = 0

    def _save_batch(self, engine: Engine) -> None:
        for index in range(len(engine.state.batch["image"])):
            if self.max_cards is None or self.written < self.max_cards:
                self._save_case(engine.state.batch, engine.state.output, index)
                self.written += 1

    def _save_case(self, batch: Mapping[str, Any], output: Mapping[str, Any], index: int) -> None:
        case_id = str(batch["case_id"][index])
        item = self.items.get(case_id, {})
        image = batch["image"][index].float().cpu().numpy()
        explanation = output["explanation"][index, 0].float().cpu().numpy()
        given = "mask" in batch and bool(batch["mask_given"][index])
        mask = batch["mask"][index, 0].cpu().numpy() if given else None
        size = batch["source_size"][index].tolist() if "source_size" in batch else image.shape[-2:]
        record = build_record(
            case_id=case_id,
            method=self.method,
            image_path=_shown_path(item.get("image", "")),
            source_size=(int(size[0]), int(size[1])),
            classes=self.classes,
            probabilities=output["probability"][index].float().cpu().numpy(),
            explanation=explanation,
            label=int(batch["label"][index]) if "label" in batch else None,
            patient_id=item.get("patient_id"),
            mask=mask,
        )
        save_explanation(self.output_dir, record, image, explanation, mask)

    def _report(self, engine: Engine) -> None:
        write_report(self.output_dir)


def _shown_path(path: str) -> str:
    """Return a path that says which file without telling where this machine keeps it."""
    return "/".join(Path(path).parts[-2:])
