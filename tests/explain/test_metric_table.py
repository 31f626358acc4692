import pytest

from common.explain.blocks import Interval
from common.explain.metric_facts import LOCALISATION, PROTOTYPES, title_of
from common.explain.metric_table import (
    branch_table,
    curve_table,
    explainer_table,
    faithfulness_table,
    group_table,
    interval_cell,
    number,
    setting_title,
    split_table,
)


def entry(value, low=None, high=None, n=40):
    return {"value": value, "low": low, "high": high, "n": n}


def texts(table, column=0):
    return [row[column].text for row in table.rows]


METRICS = {
    "accuracy": entry(0.9, 0.8, 0.95),
    "auroc/glioma": entry(0.7, 0.6, 0.8),
    "aopc": entry(0.3, 0.2, 0.4),
    "aopc_random": entry(0.1, 0.0, 0.2),
    "aopc/gradcam": entry(0.35, 0.3, 0.4),
    "aopc/centre": entry(-0.1, -0.2, 0.0),
    "pompom": entry(0.1, 0.05, 0.2, n=64),
    "pompom/gradcam": entry(0.6, 0.5, 0.7),
    "energy_in_roi": entry(0.5, 0.4, 0.6, n=64),
    "roi_area": entry(0.05, 0.04, 0.06, n=64),
    "pointing_chance": entry(0.07, 0.06, 0.08, n=64),
    "map_dependence/own": entry(0.9, 0.8, 0.95),
    "map_dependence/swapped": entry(0.5, 0.4, 0.6),
    "map_dependence/zeros": entry(None),
}


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.500"), (-0.25, "−0.250"), (1, "1.000"), (-0.0004, "0.000"), (None, "–"), ("nan", "–")]
)
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("auroc", "AUROC"),
        ("auroc/glioma", "AUROC, glioma"),
        ("error_rate", "Error rate"),
        ("student/auroc/glioma", "Student: AUROC, glioma"),
        ("student", "Student"),
        ("sensitivity_at_specificity/0.9", "Sensitivity at specificity, 0.9"),
        ("prototype_place_stability/gaussian_noise", "Same place, gaussian noise"),
    ],
)
def test_titles(name, title):
    assert title_of(name) == title


def test_intervals_are_placed_on_their_scale():
    cell = interval_cell(entry(0.5, 0.25, 1.0), (0.0, 2.0))
    assert cell.interval == Interval(0.25, 0.125, 0.5)
    assert (cell.text, cell.order, cell.detail) == ("0.500", 0.5, "0.250 to 1.000")


@pytest.mark.parametrize("missing", [None, entry(None), {}])
def test_what_was_not_measured_is_a_dash_and_sorts_last(missing):
    cell = interval_cell(missing, (0.0, 1.0))
    assert (cell.text, cell.order, cell.interval) == ("–", float("-inf"), None)


def test_a_value_without_interval_stands_alone():
    assert interval_cell(entry(0.4), (0.0, 1.0)).detail == ""


def test_a_value_off_the_scale_is_not_drawn():
    assert interval_cell(entry(3.0, 2.0, 4.0), (0.0, 1.0)).interval is None


BRANCHED = {
    "accuracy": entry(0.8, 0.7, 0.9),
    "auroc": entry(0.9, 0.8, 0.95),
    "teacher/accuracy": entry(0.85, 0.8, 0.9),
    "teacher/auroc": entry(0.88, 0.8, 0.9),
    "teacher/auroc/glioma": entry(0.5, 0.4, 0.6),
    "student/accuracy": entry(0.7, 0.6, 0.8),
    "branch_agreement": entry(0.75, 0.7, 0.8),
}


def test_branches_stand_against_each_other_and_the_whole():
    table = branch_table("test", BRANCHED)
    assert texts(table) == ["Both together", "Student", "Teacher"]
    assert [column.title for column in table.columns] == ["Branch", "AUROC", "Accuracy"]
    assert texts(table, 1) == ["0.900", "–", "0.880"]
    assert texts(table, 2) == ["0.800", "0.700", "0.850"]
    assert [[cell.best for cell in row[1:]] for row in table.rows] == [[True, False], [False, False], [False, True]]
    assert "decide 0.750 of the cases alike" in table.note
    assert branch_table("test", METRICS) is None


def test_what_has_a_table_of_its_own_is_not_in_the_split_table():
    others = {"dice/disc": entry(0.9), "pr_auc_iou/0.5": entry(0.2), "prototype_purity": entry(0.7)}
    assert texts(split_table("test", BRANCHED | others)) == ["Accuracy", "AUROC"]
    assert texts(group_table("test", others, LOCALISATION)) == ["Average precision of boxes, IoU, 0.5"]
    assert texts(group_table("test", others, PROTOTYPES)) == ["Purity"]


def test_distances_of_prototypes_are_not_drawn_on_a_scale_to_1():
    table = group_table("test", {"prototype_spread/between": entry(0.5, 0.4, 0.6)}, PROTOTYPES)
    assert table.rows[0][1].interval is None


def test_the_split_table_holds_what_is_not_about_maps():
    table = split_table("test", METRICS)
    assert texts(table) == ["Accuracy", "AUROC, glioma"]
    assert texts(table, 2) == ["40", "40"]
    assert split_table("test", {"aopc": entry(0.1)}) is None


def test_explainers_side_by_side_the_best_marked_wherever_it_is():
    table = explainer_table("test", METRICS)
    assert texts(table) == ["In-model map", "Grad-CAM", "Image centre", "Random"]
    assert [column.title for column in table.columns[1:]] == ["AOPC", "POMPOM", "Energy in region"]
    assert [column.better for column in table.columns[1:]] == ["higher", "lower", "higher"]
    assert texts(table, 1) == ["0.300", "0.350", "−0.100", "0.100"]
    assert [row[1].best for row in table.rows] == [False, True, False, False]  # a baseline wins on AOPC
    assert [row[2].best for row in table.rows] == [True, False, False, False]  # less is better for POMPOM
    assert texts(table, 2) == ["0.100", "0.600", "–", "–"]
    assert "0.050 of its energy in the region and points into it in 0.070 of the cases" in table.note
    assert "40 to 64 cases" in table.note
    assert explainer_table("test", {"accuracy": entry(0.9)}) is None


def test_a_column_with_negative_values_has_a_scale_that_holds_them():
    cell = explainer_table("test", METRICS).rows[2][1]
    assert cell.interval == Interval(pytest.approx(1 / 6), 0.0, pytest.approx(1 / 3))  # from -0.2 to 0.4


def test_faithfulness_beside_the_own_map():
    table = faithfulness_table("test", METRICS)
    assert texts(table) == ["As explained", "Of another case", "All shut"]
    assert texts(table, 1) == ["0.900", "0.500", "–"]
    assert texts(table, 2) == ["", "−0.400", "–"]
    assert faithfulness_table("test", {"accuracy": entry(0.9)}) is None


def test_aopc_by_setting():
    def points(end):
        return {"k": [0, 1], "mean": [0, end], "low": [0, end - 0.1], "high": [0, end + 0.1]}

    curves = {
        "random": {"black/8/fixed": points(0.1)},
        "in_model": {"black/8/fixed": points(0.4), "blur/16/recompute": points(0.3)},
    }
    table = curve_table(curves, "test")
    assert [column.title for column in table.columns[1:]] == ["black, 8 px, map fixed", "blur, 16 px, map recomputed"]
    assert texts(table) == ["In-model map", "Random"]
    assert [texts(table, column) for column in (1, 2)] == [["0.400", "0.100"], ["0.300", "–"]]
    assert [row[1].best for row in table.rows] == [True, False]
    assert curve_table({}, "test") is None


@pytest.mark.parametrize(
    ("setting", "title"),
    [("black/16/recompute", "black, 16 px, map recomputed"), ("gray/4/fixed", "gray, 4 px, map fixed")],
)
def test_settings_in_words(setting, title):
    assert setting_title(setting) == title
