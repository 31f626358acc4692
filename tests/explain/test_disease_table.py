"""What is measured disease by disease has a row for each, and stands in no other table."""

import pytest

from common.explain.disease_table import disease_tables
from common.explain.metric_facts import DISEASES, LOCALISATION, PROTOTYPES, disease_of, fact_of, title_of
from common.explain.metric_table import explainer_entries, group_table, split_table


def entry(value):
    return {"value": value, "low": None, "high": None, "n": 9}


METRICS = {
    "auroc": entry(0.8),
    "auroc/Mass": entry(0.9),
    "f1_tuned": entry(0.6),
    "f1_tuned/Mass": entry(0.7),
    "f1_tuned/Edema": entry(None),
    "pointing_game": entry(0.5),
    "pointing_game/gradcam": entry(0.4),
    "pointing_game/Mass": entry(0.25),
    "pointing_game/gradcam/Mass": entry(0.125),
    "t_iou/0.1": entry(0.5),
    "t_iou/0.1/gradcam": entry(0.3),
    "t_iou/0.1/Mass": entry(0.75),
    "entanglement": entry(0.1),
}


def texts(table):
    return [[column.title for column in table.columns], *([cell.text for cell in row] for row in table.rows)]


def test_one_row_for_each_disease():
    answers, places = disease_tables("test", METRICS)
    assert texts(answers) == [
        ["Disease", "AUROC", "F1, chosen thresholds"],
        ["Mass", "0.900", "0.700"],
        ["Edema", "–", "–"],
    ]
    assert texts(places) == [
        ["Disease", "Pointing game", "Pointing game, gradcam", "Boxed, IoU above, 0.1"],
        ["Mass", "0.250", "0.125", "0.750"],
    ]


def test_a_classification_without_diseases_has_no_such_table():
    assert disease_tables("test", {"auroc/zebra": entry(0.9), "f1": entry(0.5)}) == []


def test_other_tables_are_about_all_diseases():
    table = split_table("test", METRICS)
    assert [row[0].text for row in table.rows] == ["AUROC", "AUROC, Mass", "F1, chosen thresholds"]
    assert set(explainer_entries(METRICS)) == {"in_model", "gradcam"}
    assert len(group_table("test", METRICS, LOCALISATION).rows) == 2
    assert len(group_table("test", METRICS, PROTOTYPES).rows) == 1


@pytest.mark.parametrize(
    ("name", "disease"),
    [
        ("pointing_game", ""),
        ("pointing_game/gradcam", ""),
        ("pointing_game/random/Mass", "Mass"),
        ("t_iou/0.1", ""),
        ("t_iou/0.1/Mass", "Mass"),
        ("t_iou_all/0.1", ""),
        ("ece/a/b", "a/b"),
        ("auroc/Mass", ""),
    ],
)
def test_the_disease_of_a_metric(name, disease):
    assert disease_of(name) == disease
    assert (fact_of(name).group == DISEASES) == bool(disease)


def test_names_at_chosen_thresholds():
    assert title_of("jaccard_tuned") == "Jaccard, chosen thresholds"
