"""The demonstration's own care: it never removes what is not a run."""

from __future__ import annotations

import pytest

from scripts.demo import _commands, demo


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SystemExit, match="holds something that is not a run"):
        demo(output=str(tmp_path))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_unknown_bundle_lists_those_with_a_demonstration():
    with pytest.raises(SystemExit, match=r"there is: .*xml_explainer_classification"):
        demo(bundle="nothing_like_it")


def test_an_overlay_comes_last_in_training_and_evaluation():
    training, evaluating, explaining = (" ".join(command) for command in _commands("b", "r", 0, "unaligned"))
    assert "['b/configs/train.json', 'b/configs/demo.json', 'b/configs/unaligned.json']" in training
    assert "['b/configs/train.json', 'b/configs/evaluate.json', 'b/configs/demo.json', 'b/configs/unaligned.json']" in (
        evaluating
    )
    assert "unaligned" not in explaining


def test_an_unknown_overlay_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(SystemExit, match="has no overlay 'unalinged'"):
        demo(output=str(tmp_path / "run"), overlay="unalinged")
    assert not (tmp_path / "run").exists()
