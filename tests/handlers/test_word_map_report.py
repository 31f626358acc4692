"""Where prompts, words, filters and M point, in views of 32 x 32 pixels with a region every 4.

Outlines are 3 x 3 pixels in the first view of a side, around (8, 12) for a mass and (24, 12) for a calcification.
"""

import json

import pytest
import torch

from common.handlers import WordMapReport
from common.handlers.finding_words import FindingWords, finding_words
from common.text import train_tokenizer
from tests.handlers.exam_steps import FINDINGS, PROMPTS, SIDES, VIEW_SIDE, Named, step
from tests.handlers.replay import replay

LAYOUT = {"sides": SIDES, "findings": FINDINGS, "view_side": VIEW_SIDE}


def run(folder, steps, words=True, **options):
    report = WordMapReport(folder, "test", Named(), **LAYOUT, **{"tolerance": 0, "filters": []} | options)
    if words:
        named = torch.tensor([True, False]).expand(2, 2, 1, 2)
        report.words = FindingWords(PROMPTS[:, :, 0], Named.prompt_word[:, :, 0], named)
    replay([report], steps)
    path = folder / "metrics.json"
    return json.loads(path.read_text())["test"] if path.exists() else None


def test_maps_that_peak_in_the_outlines_hit_and_are_put_on_the_right_pixels(tmp_path):
    metrics = run(tmp_path, [step(8), step(8, first=8)])
    for kind in ("sentence_pointing", "word_pointing"):
        for finding in ("", "/mass", "/calcification"):
            assert metrics[kind + finding]["value"] == 1.0
        assert metrics[kind]["n"] == 32
    assert metrics["word_pointing_chance"]["value"] == pytest.approx(9 / 1024)


def test_a_map_beside_the_outline_misses_unless_near(tmp_path):
    batch, output = step(16)
    moved = {**output, "prompt_map": output["prompt_map"].roll(1, dims=-1), "region": output["region"].roll(1, -1)}
    metrics = run(tmp_path / "a", [(batch, moved)])
    assert metrics["sentence_pointing"]["value"] == metrics["word_pointing"]["value"] == 0.0
    metrics = run(tmp_path / "b", [(batch, moved)], tolerance=3)  # the outline ends 3 pixels before the peak
    assert metrics["sentence_pointing"]["value"] == metrics["word_pointing"]["value"] == 1.0
    assert metrics["word_pointing_chance"]["value"] > 9 / 1024


def test_words_are_asked_about_their_own_finding_alone(tmp_path):
    """Vectors of the two findings exchanged: the peak of the word "mass" is in the calcification, if there is one."""
    batch, output = step(1, first=3)
    output["region"] = output["region"][:, :, [1, 0, 3, 2, 4, 5, 6, 7]]
    metrics = run(tmp_path, [(batch, output)])
    assert metrics["word_pointing"]["value"] == 0.0
    assert metrics["sentence_pointing"]["value"] == 1.0


def test_filters_are_asked_the_same(tmp_path):
    batch, output = step(1, first=5)
    batch["image"][:, :, 0][batch["finding_mask"][:, :, 0].bool()] = 0.9
    metrics = run(tmp_path, [(batch, output)], filters=["brightest_spot"], words=False)
    assert (
        metrics["word_pointing/mass/brightest_spot"]["value"] == metrics["word_pointing/brightest_spot"]["value"] == 1
    )
    assert "word_pointing" not in metrics


def test_low_transmission_in_the_outlines_scores_one_and_is_held_against_brightness(tmp_path):
    """Nine dark pixels of 1024 are drawn, which are just those of the mass; the image itself is of one grey."""
    metrics = run(tmp_path, [step(1, first=1)], share=9 / 1024, words=False)
    values = {name: entry["value"] for name, entry in metrics.items() if name.startswith("map")}
    assert values == {
        "map_auprc": pytest.approx(1.0),
        "map_auprc/brightness": pytest.approx(9 / 1024),
        "map_auprc_chance": pytest.approx(9 / 1024),
        "map_dice": pytest.approx(1.0),
        "map_dice/brightness": pytest.approx(2 * 9 / (1024 + 9)),  # all are equally bright, so all are drawn
        "map_dice/otsu": pytest.approx(2 * 9 / (1024 + 9)),
    }
    batch, output = step(1, first=1)
    del output["transmission"]
    assert not [name for name in run(tmp_path / "b", [(batch, output)]) if name.startswith("map")]


def test_views_of_which_an_outline_is_missing_are_not_held_against_the_map(tmp_path):
    batch, output = step(1, first=3)
    batch["finding_mask_given"][0, 0, 1] = False
    metrics = run(tmp_path, [(batch, output)])
    assert "map_dice" not in metrics
    assert metrics["sentence_pointing"]["n"] == 1


def test_nothing_is_written_where_nothing_is_outlined(tmp_path):
    assert run(tmp_path, [step(1)]) is None


def test_words_of_prompts_are_found(tmp_path):
    texts = {"mass": "A nodular mass is in the {side} breast.", "radial scar": "There is a radial scar on the {side}."}
    prompts = {"findings": {name: {"positive": [text], "negative": [text]} for name, text in texts.items()}}
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    train_tokenizer(texts.values()).save(tmp_path / "tokenizer.json")
    found = finding_words(tmp_path / "prompts.json", tmp_path / "tokenizer.json", list(texts), SIDES)
    assert found.token.shape == found.named.shape == (2, 2, 1, 64)
    assert found.named[0, 0, 0].nonzero()[:, 0].tolist() == [1]  # "nodular" stands for a mass too
    assert found.named[1, 1, 0].nonzero()[:, 0].tolist() == [4]
    prompts["findings"]["mass"]["positive"] = ["Something is in the {side} breast."]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    with pytest.raises(ValueError, match="no word in the positive prompts of 'mass' names it"):
        finding_words(tmp_path / "prompts.json", tmp_path / "tokenizer.json", list(texts), SIDES)


def test_what_is_wrong_is_said(tmp_path):
    batch, output = step(2)
    del batch["finding_mask"]
    with pytest.raises(ValueError, match="LoadFindingMasksd"):
        run(tmp_path, [(batch, output)])
    with pytest.raises(ValueError, match="give both or none"):
        WordMapReport(tmp_path, "test", Named(), **LAYOUT, prompts="prompts.json")
    with pytest.raises(ValueError, match="share 0"):
        WordMapReport(tmp_path, "test", Named(), **LAYOUT, share=0)
