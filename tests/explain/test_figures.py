import re
from xml.etree import ElementTree

import pytest

from common.explain.figure_parts import figure_svg, inline_svg
from common.explain.figures import perturbation_figure, precision_recall_figure, roc_figure, training_figure

HISTORY = [
    {"epoch": 1.0, "stage": "classifier", "train/loss": 0.9, "validation/loss": 1.0, "learning_rate": 0.01},
    {"epoch": 2.0, "stage": "classifier", "train/loss": 0.7, "validation/loss": None, "learning_rate": 0.01},
    {"epoch": 3.0, "stage": "joint", "train/loss": 0.5, "validation/loss": 0.6, "learning_rate": 0.001},
]
ROC = {"benign": {"x": [0.0, 0.2, 1.0], "y": [0.0, 0.9, 1.0]}, "malig<nant": {"x": [0.0, 1.0], "y": [0.0, 1.0]}}


def points(end):
    return {"k": [0, 1, 2], "mean": [0, end / 2, end], "low": [0, end / 3, end / 2], "high": [0, end, 2 * end]}


def lines(figure):
    return {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def test_training_draws_both_sides_and_leaves_gaps_out():
    figure = training_figure(HISTORY, "loss")
    assert lines(figure) == {"training": [[1, 0.9], [2, 0.7], [3, 0.5]], "validation": [[1, 1.0], [3, 0.6]]}
    assert [text.get_text() for text in figure.axes[0].texts] == ["classifier", "joint"]


def test_the_learning_rate_is_drawn_on_a_logarithmic_scale():
    assert training_figure(HISTORY, "learning_rate").axes[0].get_yscale() == "log"


def test_roc_names_classes_with_their_areas():
    figure = roc_figure(ROC, {"benign": 0.85})
    assert lines(figure)["benign 0.850"] == [[0, 0], [0.2, 0.9], [1, 1]]
    assert "malig<nant" in lines(figure)


def test_long_curves_are_thinned_and_keep_their_ends():
    many = [index / 5000 for index in range(5001)]
    drawn = lines(precision_recall_figure({"a": {"x": many, "y": many}}))["a"]
    assert len(drawn) == 400
    assert (drawn[0], drawn[-1]) == ([0, 0], [1, 1])


def test_perturbation_brings_forward_the_own_map_chance_and_the_best_other():
    curves = {"in_model": points(0.4), "random": points(0.1), "lrp": points(0.2), "gradcam": points(0.3)}
    figure = perturbation_figure(curves, "black, 16 px")
    assert list(lines(figure))[1:] == ["In-model map", "Grad-CAM", "Random", "1 other"]
    assert lines(figure)["1 other"] == [[0, 0], [1, 0.1], [2, 0.2]]
    assert len(figure.axes[0].collections) == 3  # bands


@pytest.mark.parametrize("curves", [{"in_model": points(0.4)}, {"random": points(0.1)}])
def test_perturbation_of_a_single_explainer(curves):
    assert len(lines(perturbation_figure(curves, "one"))) == 2


def test_equal_figures_give_equal_files_with_text_as_text():
    first, second = (figure_svg(roc_figure(ROC, {}), "roc") for _ in range(2))
    assert first == second
    assert {"benign", "malig<nant", "false-positive rate"} <= set(texts(first))


def test_a_figure_for_a_page_has_its_own_ids_and_takes_the_pages_colours():
    svg = inline_svg(figure_svg(roc_figure(ROC, {}), "roc"), "roc_test")
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert ids
    assert len(set(ids)) == len(ids)
    assert all(name.startswith("roc_test-") for name in ids)
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', svg)
    assert used
    assert set(used) <= set(ids)
    assert "var(--ink)" in svg
    assert "var(--line0)" in svg
    assert not re.search(r": #(1c1c1c|0072b2|fdfdfd)", svg)
    assert re.match(r"<svg [^>]*viewBox", svg)
    assert " width=" not in svg[: svg.index(">")]
    ElementTree.fromstring(svg)
