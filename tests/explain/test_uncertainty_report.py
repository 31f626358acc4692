"""What a report says about a network's uncertainty, and that it says nothing where nothing was measured."""

import json

import pytest

from common.explain.gallery import build_gallery, choose_cases
from common.explain.metric_facts import SEGMENTATION, UNCERTAINTY, fact_of, title_of
from common.explain.metric_table import group_table, split_table
from common.explain.report import write_report
from common.explain.robustness_section import robustness_section
from common.explain.run_folder import RunFolder, read_run_folder
from common.explain.uncertainty_figures import (
    lines_figure,
    reliability_figure,
    risk_coverage_figure,
    robustness_figure,
)
from common.explain.uncertainty_section import CAUTION, uncertainty_section
from tests.explain.evidential_run_folder import METRICS, curves, make_evidential_run
from tests.explain.test_report import Page


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = make_evidential_run(tmp_path_factory.mktemp("runs"), cards=4)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run_dir):
    return Page((run_dir / "report.html").read_text())


def test_the_pages_stand_where_they_belong(page):
    ids = [attributes["id"] for attributes in page.all("section")]
    assert ids == ["metrics", "uncertainty", "cases", "robustness", "training", "run"]


@pytest.mark.parametrize(
    "sentence",
    [
        "Evidential uncertainty is not guaranteed to be epistemic",
        "Wrong decisions are more uncertain than right ones.",
        "Mean uncertainty rises with every step of: Gaussian noise, Blur, Contrast.",
        "Mean uncertainty does not rise with every step of: JPEG.",
        "Error detection, mutual information",
        "ECE, scaled by the temperature",
        "95 % Hausdorff distance, cup",
        "most uncertain first",
        "4 of 6 explained cases are shown.",
        "2 have no card.",
        "JPEG: every metric",
    ],
)
def test_what_a_reader_must_be_told(page, sentence):
    assert sentence in page.text


def test_figures_say_in_words_what_they_show(page, run_dir):
    words = " ".join(attributes["aria-label"] for attributes in page.all("figure"))
    assert "At confidence 0.550 right 0.500, 0.650 right 0.600" in words
    assert "All cases: 0.100; the less uncertain half: 0.025." in words
    assert "their overlap against the threshold, at most 0.320." in words
    assert "rim 0.830 to 0.910, cup 0.880 to 0.940" in words
    assert "Mean uncertainty against the strength of corruptions: 0.210 as it is; at the strongest Gaussian" in words
    drawn = {path.name for path in (run_dir / "figures").glob("*.svg")}
    assert {"reliability_test.svg", "risk_coverage_test.svg", "robustness_dice_cup.svg"} <= drawn


def test_the_gallery_can_be_sorted_by_uncertainty(page):
    items = [attributes for attributes in page.all("li") if "data-uncertainty" in attributes]
    told = {attributes["data-name"]: float(attributes["data-uncertainty"]) for attributes in items}
    assert told == pytest.approx({"eye_0": 2 / 6, "eye_1": 2 / 10, "eye_2": 2 / 14, "eye_3": 2 / 18}, abs=1e-6)
    assert next(attributes for attributes in page.all("option"))["value"] == "uncertain"


def test_the_most_uncertain_cases_are_chosen_first(run_dir):
    cases = [(record, card) for record, card in read_run_folder(run_dir).explanations if card is not None]
    assert [record["case_id"] for record, _ in choose_cases(cases[::-1], 2)] == ["eye_0", "eye_1"]
    note = build_gallery(cases, [], most_cases=2).note
    assert note.startswith("2 of 4 explained cases are shown: the most uncertain ones.")


def section_of(tmp_path, metrics=None, **found):
    run = RunFolder(tmp_path, metrics={"test": metrics or {}}, curves={"test": found})
    return uncertainty_section(run), robustness_section(run)


def entry(low, high):
    return {"value": (low + high) / 2, "low": low, "high": high, "n": 9}


def test_without_uncertainty_there_is_no_page_about_it(tmp_path):
    roc = {"a": {"x": [0, 1], "y": [0, 1]}}
    assert section_of(tmp_path, {"accuracy": entry(0.8, 0.9), "dice/cup": entry(0.8, 0.9)}, roc=roc) == (None, None)
    empty = {"reliability": {"confidence": [], "accuracy": [], "count": []}, "robustness": {}}
    assert section_of(tmp_path, **empty, risk_coverage={"coverage": [], "risk": []}) == (None, None)
    assert uncertainty_section(RunFolder(tmp_path)) is None


@pytest.mark.parametrize("name", ["reliability", "risk_coverage", "uncertainty_error_overlap", "pixel_retention"])
def test_any_single_curve_makes_the_page(tmp_path, name):
    uncertainty, robustness = section_of(tmp_path, **{name: curves()[name]})
    notice, figures = uncertainty.blocks
    assert notice.text == CAUTION, "where no record brings a warning of its own"
    assert len(figures.pictures) == 1
    assert robustness is None


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((0.6, 0.9), "Wrong decisions are more uncertain than right ones."),
        ((0.4, 0.9), "cannot be told here: the interval holds chance"),
        ((0.1, 0.4), "do not rely on it here"),
        ((None, None), None),
    ],
)
def test_the_verdict_on_errors_follows_the_interval(tmp_path, ends, words):
    measured = {"value": 0.7, "low": ends[0], "high": ends[1], "n": 9}
    section, _ = section_of(tmp_path, {"error_auroc": measured})
    said = [block.text for block in section.blocks if block.kind == "prose"][1:]
    assert said == [] if words is None else words in said[0]


def test_every_metric_stands_in_one_table(tmp_path):
    metrics = {name: entry(0.1, 0.2) for name in METRICS}
    tables = [split_table("test", metrics), *(group_table("test", metrics, g) for g in (SEGMENTATION, UNCERTAINTY))]
    names = [[row[0].order for row in table.rows] for table in tables]
    assert names[0] == ["accuracy", "auroc"]
    assert names[1] == ["dice/rim", "dice/cup", "hd95/cup"]
    assert sorted(name for group in names for name in group) == sorted(METRICS)
    details = [row[0].detail for row in tables[1].rows]
    assert details[0].startswith("overlap of predicted")
    assert details[1] == "", "said once"
    assert group_table("test", {"accuracy": entry(0, 1)}, UNCERTAINTY) is None


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("dice/optic_disc", "Dice, optic disc"),
        ("auroc/no_finding", "AUROC, no_finding"),
        ("nll_scaled", "NLL, scaled by the temperature"),
        ("ood_auroc/dissonance", "Foreign images, dissonance"),
        ("loss_scaled", "Loss scaled"),
    ],
)
def test_titles(name, title):
    assert title_of(name) == title


def test_a_scaled_metric_is_explained_as_the_metric():
    assert fact_of("ece_scaled") is fact_of("ece")


def lines(figure):
    return {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}


def test_reliability_draws_lines_and_the_spread_of_the_cases():
    points = {"confidence": [0.6, 0.9], "accuracy": [0.5, 1.0], "count": [1, 3]}
    figure = reliability_figure({"raw": points, "scaled": points})
    assert lines(figure)["raw"] == lines(figure)["scaled"] == [[0.6, 0.5], [0.9, 1.0]]
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0.25, 0.75]


def test_risk_against_coverage_beside_the_risk_of_all():
    figure = risk_coverage_figure({"coverage": [0.5, 1.0], "risk": [0.0, 0.25]})
    assert lines(figure)["the least uncertain"] == [[0.5, 0.0], [1.0, 0.25]]
    assert [y for _, y in lines(figure)["all cases"]] == [0.25, 0.25]


def test_what_is_undefined_leaves_a_gap():
    drawn = lines(robustness_figure("Dice", {"Blur": ([0, 1, 2], [0.9, None, 0.5])}))["Blur"]
    assert drawn[0] == [0, 0.9]
    assert drawn[1][1] != drawn[1][1]
    assert lines(lines_figure("t", [1, 2], {"a": [0, 1]}, ("x", "y")))["a"] == [[1, 0], [2, 1]]


def test_robustness_shows_uncertainty_first_and_folds_the_rest(tmp_path):
    _, section = section_of(tmp_path, robustness=curves()["robustness"])
    figures = next(block for block in section.blocks if block.kind == "figures")
    assert [picture.alt.split(" against")[0] for picture in figures.pictures] == [
        "Mean uncertainty", "Accuracy", "Dice, cup", "Error detection",
    ]  # fmt: skip
    assert len(figures.folded) == 1
    table = next(block for block in section.blocks if block.kind == "table")
    assert table.folded
    assert [column.title for column in table.columns][:2] == ["Metric", "Strength 0"]
    assert [cell.text for cell in table.rows[3]] == [
        "Error detection",
        "–",
        *(f"{0.78 - 0.02 * i:.3f}" for i in range(5)),
    ]


def test_the_same_run_gives_the_same_report(run_dir):
    before = (run_dir / "report.html").read_bytes()
    write_report(run_dir)
    assert (run_dir / "report.html").read_bytes() == before


def test_a_run_without_uncertainty_is_not_offered_its_order(tmp_path):
    make_evidential_run(tmp_path, cases=1)
    path = tmp_path / "explanations" / "eye_0" / "explanation.json"
    record = json.loads(path.read_text())
    del record["uncertainty"], record["beliefs"]
    path.write_text(json.dumps(record))
    page = Page(write_report(tmp_path).read_text())
    assert "most uncertain first" not in page.text
    assert not any("data-uncertainty" in attributes for attributes in page.all("li"))
