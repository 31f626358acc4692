"""Save the explanation of every case, and the report of the whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import Tensor

from common.data.placement import Placement
from common.explain.case_folder import save_explanation
from common.explain.describer import Case, Describer, shown_path
from common.explain.relevance_map import RelevanceMap
from common.explain.report import write_report
from common.explain.schema import TASKS
from common.utils.choices import check_choice


class ExplanationSaver:
    """Write ``explanations/<case>/`` for every case of an engine's run, and ``report.html`` at its end.

    Reads "probability" (B, C) from the output; "image", "case_id" and, where known, "label", "source_size", "crop" and
    "flipped" from the batch, for exams of several views ("view_mask") the last three of each view. What else is read,
    recorded and drawn is the describer's affair.
    """

    def __init__(
        self,
        output_dir: str | Path,
        method: str,
        classes: Sequence[str],
        items: Sequence[Mapping[str, Any]] = (),
        max_cards: int | None = None,
        describer: Describer | None = None,
        task: str = "multiclass",
        threshold: float = 0.5,
    ) -> None:
        """Say what to write.

        Args:
            output_dir: the run folder.
            method: name of the bundle, written into every record.
            classes: names of the C classes.
            items: the data, for image paths and patients as the user's table gives them.
            max_cards: draw the cards of only so many cases; None draws all. Every case gets its record and arrays.
            describer: how the method tells its explanation; None for :class:`common.explain.RelevanceMap`.
            task: "multiclass", or "multilabel" where several classes may be present.
            threshold: in a multi-label task a class is predicted from this probability on.

        Raises:
            ValueError: for an unknown task, a negative number of cards or a threshold that is no probability.
        """
        if max_cards is not None and max_cards < 0:
            raise ValueError(f"max_cards is {max_cards}, expected 0 or more, or null for all")
        check_choice("task", task, TASKS)
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}, expected a probability from 0 to 1")
        self.output_dir = Path(output_dir)
        self.method = method
        self.classes = list(classes)
        self.items = {str(item["case_id"]): item for item in items}
        self.max_cards = max_cards
        self.describer = describer or RelevanceMap()
        self.task = task
        self.threshold = threshold
        self.drawn = 0

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._save_batch)
        engine.add_event_handler(Events.COMPLETED, self._report)

    def _start(self, engine: Engine) -> None:
        self.drawn = 0

    def _save_batch(self, engine: Engine) -> None:
        for index in range(len(engine.state.batch["case_id"])):
            explanation = self.describer.describe(self._case(engine.state.batch, engine.state.output, index))
            card = self.max_cards is None or self.drawn < self.max_cards
            save_explanation(self.output_dir, explanation, card)
            self.drawn += card

    def _case(self, batch: Mapping[str, Any], output: Mapping[str, Any], index: int) -> Case:
        known = _case_of(batch, index)
        case_id, image = str(known["case_id"]), known["image"]
        item = self.items.get(case_id, {})
        placements = _placements(known)
        return Case(
            case_id=case_id,
            method=self.method,
            classes=self.classes,
            task=self.task,
            threshold=self.threshold,
            image_path=shown_path(item.get("image", "")),
            placement=placements[0],
            image=image,
            output=_case_of(output, index),
            batch=known,
            item=item,
            label=known.get("label"),
            patient_id=item.get("patient_id"),
            placements=placements if "view_mask" in known else (),
        )

    def _report(self, engine: Engine) -> None:
        write_report(self.output_dir)


def _placements(known: Mapping[Any, Any]) -> list[Placement]:
    """Return where the image, or each view of an exam (V, D, H, W), which has a "view_mask", lies in its source."""
    image = known["image"]
    rows, columns = image.shape[-2:]
    several = "view_mask" in known
    if "source_size" not in known:
        return [Placement((rows, columns), (0, 0, columns, rows))] * (len(image) if several else 1)
    return [Placement.of(known, view) for view in range(len(image))] if several else [Placement.of(known)]


def _case_of(values: Mapping[str, Any], index: int) -> dict[Any, Any]:
    """Return what a batch or an output holds for one case: tensors as arrays, without the batch axis."""
    one: dict[Any, Any] = {}
    for name, value in values.items():
        if isinstance(value, Tensor):
            part = value[index].detach().cpu()
            one[name] = (part.float() if part.is_floating_point() else part).numpy()
        elif isinstance(value, list | tuple):
            one[name] = value[index]
    return one
