"""Exams explained by sentences: numbers that add up, places in the right files, silence about the unseen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common.data import LoadViewsd, Placement
from common.explain.case_folder import load_map
from common.explain.describer import Case
from common.explain.exam_card import hanging_order
from common.explain.exam_places import brightest_part
from common.explain.exam_reasoning import ExamReasoning
from common.explain.exam_words import shown_view
from common.explain.finding_words import finding_word
from common.explain.prompt_scores import prompt_scores
from common.explain.record import load_record
from common.handlers import ExplanationSaver
from common.networks import MultiViewReportNet
from common.text import Tokenizer
from tests.handlers.replay import replay
from tests.report_setup import CLASSES, SIDES, VIEWS, small_report_net, text_files, write_exam

STRIDE = 8


def case_of(network: MultiViewReportNet, image: torch.Tensor, **changes: Any) -> Case:
    """One exam (V,1,64,64) whose right breasts were mirrored."""
    with torch.no_grad():
        output = {name: value[0].numpy() for name, value in network.explain(image[None]).items()}
    whole = (0, 0, 64, 64)
    placements = [Placement((64, 64), whole, view.startswith("right")) for view in VIEWS]
    known: dict[str, Any] = {
        "case_id": "exam",
        "method": "vwyl_report_classification",
        "classes": CLASSES,
        "task": "multilabel",
        "threshold": 0.5,
        "image_path": "",
        "placement": placements[0],
        "placements": placements,
        "image": image.numpy(),
        "output": output,
        "label": np.array([0, 0, 1, 0]),
    }
    return Case(**known | changes)


def exam(*absent: int) -> torch.Tensor:
    image = 0.3 + 0.7 * torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(2))
    for view in absent:
        image[view] = 0
    return image


@pytest.fixture
def network(tmp_path: Path) -> MultiViewReportNet:
    return small_report_net(tmp_path / "text")


@pytest.fixture
def reasoning(network: MultiViewReportNet, tmp_path: Path) -> ExamReasoning:
    return ExamReasoning(network, tmp_path / "text/prompts.json", tmp_path / "text/tokenizer.json")


def test_scores_are_those_that_the_network_decided_by(network: MultiViewReportNet) -> None:
    with torch.no_grad():
        network.log_sharpness.fill_(2.5)
        network.log_scale_local.fill_(9.0)  # beyond what the network applies
    case = case_of(network, exam(1))
    scores = prompt_scores(network, case.output)
    logits = (scores.score[..., 0] - scores.score[..., 1]).flatten()
    assert logits.numpy() == pytest.approx(case.output["logits"], abs=1e-4)


def test_the_record_says_where_and_how_well(network: MultiViewReportNet, reasoning: ExamReasoning) -> None:
    record = reasoning.describe(case_of(network, exam())).record
    prompts = [item for item in record["evidence"] if item["kind"] == "prompt"]
    assert [item["class"] for item in prompts] == CLASSES
    assert prompts[3]["prompt"] == "there are calcifications in the right breast."
    for item in prompts:
        logit = record["prediction"]["logits"][item["class"]]
        details = item["details"]
        assert item["contribution"] == pytest.approx(logit)
        assert details["positive"] - details["negative"] == pytest.approx(logit, abs=1e-4)
        assert record["views"][item["view"]]["name"].startswith(item["class"].split()[0]), "on its own side"
    assert [item["name"] for item in record["evidence"] if item["kind"] == "word"] == [
        "mass",
        "calcifications",
        "mass",
        "calcifications",
    ]
    assert record["label"] == {"classes": ["right mass"]}
    assert sum(view["importance"] for view in record["views"][:2]) == pytest.approx(1)
    assert record["image"] == record["views"][0]
    assert "warning" not in record


def test_a_peak_lies_on_the_centre_of_its_region_as_the_file_is_turned(
    network: MultiViewReportNet, reasoning: ExamReasoning
) -> None:
    case = case_of(network, exam())
    maps = np.zeros_like(case.output["prompt_map"])
    maps[0, 1, 2, 5] = maps[2, 3, 2, 5] = 1  # left mass in left MLO, right mass in right MLO
    case = case_of(network, exam(), output={**case.output, "prompt_map": maps})
    record = reasoning.describe(case).record
    left, right = record["evidence"][0], record["evidence"][2]
    assert (left["view"], left["peak"]) == (1, [5 * STRIDE, 2 * STRIDE])
    assert (right["view"], right["peak"]) == (3, [63 - 5 * STRIDE, 2 * STRIDE])
    assert left["box"] == [36, 12, 45, 21], "half of the peak is reached half a region away"
    assert right["box"] == [64 - 45, 12, 64 - 36, 21]
    assert left["details"]["attention_in_view"] == 1


def test_of_a_side_without_a_view_nothing_is_said(network: MultiViewReportNet, reasoning: ExamReasoning) -> None:
    explanation = reasoning.describe(case_of(network, exam(2, 3)))
    record = explanation.record
    assert record["classes"] == CLASSES[:2] == list(record["prediction"]["probabilities"])
    assert [view["name"] for view in record["views"]] == VIEWS[:2]
    assert record["label"] == {"classes": []}
    assert record["warning"] == "No view of the right side was given: nothing is said about it."
    assert explanation.archives["maps.npz"]["prompt_map"].shape == (2, 4, 8, 8)
    assert explanation.draw().picture.width == 1200


def test_what_does_not_belong_together_is_refused(network: MultiViewReportNet, tmp_path: Path) -> None:
    other = ExamReasoning(small_report_net(tmp_path / "text", seed=7))
    with pytest.raises(ValueError, match="the network's prompts do not give its probabilities"):
        other.describe(case_of(network, exam()))
    with pytest.raises(ValueError, match="expected multilabel with one class for each of the sides left, right"):
        other.describe(case_of(network, exam(), classes=CLASSES[:2]))
    case = case_of(network, exam())
    with pytest.raises(ValueError, match="outputs are logits, expected 'probability' among them"):
        other.describe(case_of(network, exam(), output={"logits": case.output["logits"]}))
    with pytest.raises(ValueError, match="prompts and tokenizer go together"):
        ExamReasoning(network, prompts=tmp_path / "text/prompts.json")
    changed, tokenizer = text_files(tmp_path / "changed")
    changed.write_text(changed.read_text().replace("There is a mass", "One sees a mass"))
    with pytest.raises(ValueError, match="was given other prompts"):
        ExamReasoning(network, changed, tokenizer).describe(case)


def test_the_saver_writes_an_exam_from_its_files(tmp_path: Path) -> None:
    network = small_report_net(tmp_path / "text", decoder="light")
    items = [
        {"case_id": "a", "views": write_exam(tmp_path / "a", VIEWS), "label": np.array([0, 1, 0, 0])},
        {"case_id": "b", "views": write_exam(tmp_path / "b", VIEWS[:1], 1), "label": np.array([0, 0, 0, 0])},
    ]
    loaded = [LoadViewsd(VIEWS, 64)(item) for item in items]
    keys = ("image", "view_mask", "source_size", "crop", "flipped")
    batch: dict[str, Any] = {key: torch.stack([torch.as_tensor(item[key]) for item in loaded]) for key in keys}
    batch |= {"case_id": ["a", "b"], "label": torch.stack([torch.as_tensor(item["label"]) for item in items])}
    with torch.no_grad():
        output = network.explain(batch["image"])
    reasoning = ExamReasoning(
        network, tmp_path / "text/prompts.json", Tokenizer.from_file(tmp_path / "text/tokenizer.json")
    )
    saver = ExplanationSaver(tmp_path, "vwyl", CLASSES, items, describer=reasoning, task="multilabel")
    replay([saver], [(batch, output)])
    folder = tmp_path / "explanations" / "a"
    record = load_record(folder / "explanation.json")
    assert record["views"][2]["path"] == "a/right_cc.png"
    assert (record["views"][2]["rows"], record["views"][2]["columns"]) == (64, 48)
    assert (folder / "card.png").is_file()
    for name, file in record["files"].items():
        assert (folder / file["file"]).is_file(), name
    lying = load_map(folder / "transmission_right_cc.png")
    assert lying.shape == (64, 48), "in the size of the view's file"
    maps = np.load(folder / "maps.npz")
    assert sorted(maps.files) == sorted(record["files"]["maps"]["names"])
    assert maps["prompt_map"] == pytest.approx(output["prompt_map"][0].numpy())
    assert maps["word_map"].sum(axis=(1, 2, 3)) == pytest.approx(1)
    shown = next(name for name in record["files"] if name.startswith("prompt_"))
    view = record["files"][shown]["view"]
    assert shown.endswith(record["views"][view]["name"])
    assert load_record(tmp_path / "explanations/b/explanation.json")["classes"] == CLASSES[:2]
    assert "What do sentences tell" not in (tmp_path / "report.html").read_text(), "nothing was measured"
    assert json.loads((folder / "explanation.json").read_text())["case_id"] == "a"


def test_the_brightest_part_is_what_hangs_together_with_the_peak() -> None:
    maps = np.zeros((2, 4, 6), dtype=np.float32)
    maps[1, 1, 1:4] = 0.5, 1.0, 0.4
    maps[1, 3, 5] = maps[0, 0, 0] = 0.9
    place = brightest_part(maps)
    assert place is not None
    assert (place.view, place.box, place.peak) == (1, (1, 1, 3, 2), (2, 1))
    assert place.share == pytest.approx(1.5 / 3.7)
    assert brightest_part(np.zeros((2, 4, 6), dtype=np.float32)) is None


@pytest.mark.parametrize(
    ("words", "finding", "expected"),
    [
        (["there", "are", "calcifications", "."], "calcification", 2),
        (["left", "breast", ":", "lesion"], "mass", 3),
        (["architectural", "distortion", "seen"], "distortion", 1),
        (["pleural", "effusion"], "pleural_effusion", 1),
        (["nothing", "here"], "mass", None),
    ],
)
def test_the_word_that_names_a_finding(words: list[str], finding: str, expected: int | None) -> None:
    assert finding_word(words, finding) == expected


def test_views_hang_as_readers_hang_them() -> None:
    order = hanging_order(VIEWS, [False, False, True, True])
    assert [VIEWS[index] for index in order] == ["right_cc", "left_cc", "right_mlo", "left_mlo"]
    assert hanging_order(["frontal", "lateral"], [False, False]) == [0, 1]
    assert shown_view("left_mlo") == "left MLO"
    assert SIDES == ["left", "right"]
