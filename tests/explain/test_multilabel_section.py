"""What a report says about several diseases at once."""

import json

import pytest

from common.explain.multilabel_figures import matrix_figure, natural_width
from common.explain.multilabel_section import multilabel_section
from common.explain.prototype_gallery import prototypes_section
from common.explain.report import write_report
from common.explain.run_folder import read_run_folder
from tests.explain.background_run_folder import COOCCURRENCE, DISEASES, PROTOTYPE_TABLE, make_background_run


def section(folder, together=None, table=None):
    for name, content in (("cooccurrence", together), ("prototype_table", table)):
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content))
    run = read_run_folder(folder)
    return multilabel_section(run), run


def cells(figure):
    """Return the texts in a figure's cells, row by row."""
    texts = sorted(figure.axes[0].texts, key=lambda text: (text.get_position()[1], text.get_position()[0]))
    return [text.get_text() for text in texts]


def test_numbers_and_grounds_of_a_matrix():
    figure = matrix_figure("title", ["a", "b"], ["x", "y"], [[2, -1], [None, 0]], ("rows", "columns"), str)
    assert cells(figure) == ["2", "-1", "–", "0"]
    grounds = [patch for patch in figure.axes[0].patches if patch.get_alpha() is not None]
    assert [patch.get_alpha() for patch in grounds] == [0.5, 0.25, 0.0]
    blue, orange = (patch.get_facecolor()[:3] for patch in grounds[:2])
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]
    same = matrix_figure("title", ["a"], ["x"], [[0.5]], ("rows", "columns"), str, full=1.0)
    assert [patch.get_alpha() for patch in same.axes[0].patches if patch.get_alpha() is not None] == [0.25]
    assert natural_width(["a"], ["x"] * 10) > natural_width(["a"], ["x"] * 5)


def test_which_diseases_are_together_in_truth_and_prediction(tmp_path):
    found, _ = section(tmp_path, COOCCURRENCE)
    words, figures = found.blocks
    assert words.text == (
        "Where the network predicts Nodule, it predicts Mass too in 80% of the cases; of those that have Nodule, 42% "
        "have Mass."
    )
    true, predicted = figures.pictures
    assert true.alt.endswith("Most: Cardiomegaly and Effusion 50%; Mass and Nodule 50%; Nodule and Mass 42%.")
    assert predicted.alt.startswith("Predicted together, in percent of the cases with the row's disease. Most: Nodule")
    assert ">Nodule 12<" in true.svg, "the number of cases stands beside the disease"
    assert true.width == predicted.width > 10
    assert (tmp_path / "figures" / "together_true.svg").is_file()


def test_where_nothing_is_overstated_nothing_is_said(tmp_path):
    found, _ = section(tmp_path, COOCCURRENCE | {"predicted": COOCCURRENCE["true"]})
    assert [block.kind for block in found.blocks] == ["figures"]


def test_contributions_are_less_those_of_the_background(tmp_path):
    found, _ = section(tmp_path, table=PROTOTYPE_TABLE)
    added, looked, table = found.blocks
    (picture,) = added.pictures
    assert picture.alt.startswith("What the prototypes add, less No Finding: mean on cases with each disease. ")
    assert picture.alt.endswith(
        "Cardiomegaly and Cardiomegaly 2.500; Effusion and Effusion 2.000; Mass and Mass 1.500."
    )
    assert ">−2.0<" in picture.svg, "5 less 7"
    assert looked.pictures[0].alt.endswith(
        "Most: Cardiomegaly and Cardiomegaly 80%; Effusion and Effusion 75%; Mass and Mass 60%."
    )
    rows = [[cell.text for cell in row] for row in table.rows]
    assert rows == [
        ["Cardiomegaly", "20", "0.900", "0.800", "0.300"],
        ["Effusion", "30", "0.800", "0.750", "0.300"],
        ["Mass", "10", "–", "0.600", "0.200"],
        ["Nodule", "12", "0.750", "–", "–"],
        ["No Finding", "–", "0.600", "–", "–"],
    ]


def test_without_a_background_contributions_stay_as_they_are(tmp_path):
    table = {"classes": ["a", "b"], "diseases": ["a", "b"], "mean_contribution": [[3, 1], [1, 2]]}
    found, _ = section(tmp_path, table=table)
    assert (
        found.blocks[0].pictures[0].alt.startswith("What the prototypes add: mean on cases with each disease. Most: a")
    )


@pytest.mark.parametrize(
    ("together", "table", "name"),
    [
        ({"classes": ["a", "b"], "true": [[1]], "predicted": [[1]]}, None, "cooccurrence.json"),
        ({"classes": "ab"}, None, "cooccurrence.json"),
        (None, {"classes": ["a"], "diseases": ["a"], "mean_contribution": [["much"]]}, "prototype_table.json"),
        (None, {"classes": ["a"], "diseases": ["a"], "mean_contribution": [3]}, "prototype_table.json"),
    ],
)
def test_files_of_another_shape_are_told(tmp_path, together, table, name):
    found, run = section(tmp_path, together, table)
    assert found is None
    assert run.problems == [f"{name} holds no matrices of its classes; evaluate again"]


def test_without_the_files_there_is_no_section(tmp_path):
    found, run = section(tmp_path)
    assert found is None
    assert run.problems == []


def test_the_report_holds_it_and_the_gallery_names_the_background(tmp_path):
    folder = make_background_run(tmp_path / "run", cases=1)
    page = write_report(folder).read_text()
    assert "Are the diseases told apart?" in page
    tiles = [block for block in prototypes_section(read_run_folder(folder)).blocks if block.kind == "tiles"]
    captions = [f"{name}: 3 prototypes" for name in DISEASES]
    assert [block.caption for block in tiles] == [
        *captions,
        "No Finding: 3 prototypes; all other classes are held against it",
    ]
