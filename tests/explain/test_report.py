import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from common.explain.blocks import Definitions, Prose, Section
from common.explain.gallery import build_gallery, choose_cases
from common.explain.report import write_report
from common.explain.run_folder import read_run_folder
from common.explain.sections import SECTIONS
from tests.explain.run_folder import HOSTILE, make_run
from tests.explain.test_record import a_record


class Page(HTMLParser):
    """The tags, attributes and visible text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self._hidden = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag in ("style", "script"):
            self._hidden = tag

    def handle_endtag(self, tag):
        if tag == self._hidden:
            self._hidden = ""

    def handle_data(self, data):
        if not self._hidden and data.strip():
            self.words.append(data.strip())

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("runs") / "demo", cases=8)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def page(run_dir):
    return Page((run_dir / "report.html").read_text())


def test_every_section_is_there_and_linked(page):
    ids = [attributes["id"] for attributes in page.all("section")]
    assert ids == ["metrics", "curves", "cases", "quality", "perturbation", "training", "run"]
    links = [attributes["href"] for attributes in page.all("a")]
    assert links == ["#main", *(f"#{name}" for name in ids)]


@pytest.mark.parametrize(
    "sentence",
    [
        "Research software, not for clinical use.",
        "The data are synthetic",
        "1 case was skipped; reasons below.",
        "shapes_0099 (explanation): shapes_0099.png is truncated: 12 of 4096 bytes <b>bold</b>",
        "All 8 explained cases are shown.",
        "python -m monai.bundle run training",
        "python 3.11.2, torch 2.15.0, monai 1.6.1",
        "harms the prediction more than removing patches at random",
        "With another case's map the network is less accurate",
        '"image_size": 96',
    ],
)
def test_what_a_reader_must_be_told(page, sentence):
    assert sentence in page.text


def test_numbers_come_with_their_intervals(run_dir, page):
    accuracy = json.loads((run_dir / "metrics.json").read_text())["test"]["accuracy"]
    assert f"{accuracy['value']:.3f} {accuracy['low']:.3f} to {accuracy['high']:.3f}" in page.text


def test_one_file_with_everything_inside(page):
    for tag, attributes in page.tags:
        for name in ("src", "href", "data-card", "srcset", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:image/")), (tag, name)
    assert not page.all("link")
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_the_policy_allows_this_script_and_no_other(run_dir, page):
    html = (run_dir / "report.html").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", html, flags=re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.replace("&#39;", "'")


def test_hostile_names_stay_text(page):
    assert len(page.all("script")) == 1
    assert HOSTILE in [attributes.get("data-name") for attributes in page.all("li")]
    assert HOSTILE in page.text
    assert not page.all("b") or all("style" in attributes for attributes in page.all("b"))  # interval marks only


def test_every_picture_has_words(page):
    assert len(page.all("img")) == 8
    assert all(attributes["alt"] for attributes in page.all("img"))
    figures = page.all("figure")
    assert figures
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in figures)


def test_cards_are_kept_at_a_readable_size(page):
    for attributes in page.all("button"):
        if "data-card" in attributes:
            picture = Image.open(io.BytesIO(base64.b64decode(attributes["data-card"].split(",", 1)[1])))
            assert picture.width == 1000


def test_figures_are_left_in_the_run_folder(run_dir):
    names = {path.name for path in (run_dir / "figures").glob("*.svg")}
    assert {"roc_test.svg", "precision_recall_test.svg", "training_0_loss.svg"} <= names
    assert "perturbation_black_16_recompute.svg" in names


def test_the_same_run_gives_the_same_report(run_dir):
    before = (run_dir / "report.html").read_bytes()
    write_report(run_dir)
    assert (run_dir / "report.html").read_bytes() == before


def test_an_empty_folder_gives_a_report_that_says_what_is_missing(tmp_path):
    page = Page(write_report(tmp_path).read_text())
    for sentence in ("No test metrics", "No training history", "No explained cases", "No run record"):
        assert sentence in page.text
    assert "synthetic" not in page.text
    assert tmp_path.name in page.text


@pytest.mark.parametrize("name", ["metrics.json", "curves.json", "metrics.csv", "run.json"])
def test_any_single_file_may_be_missing(tmp_path, name):
    run_dir = make_run(tmp_path / "run", cases=1)
    (run_dir / name).unlink()
    assert Page(write_report(run_dir).read_text()).all("section")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.json", "{broken", "metrics.json could not be read"),
        ("curves.json", "[]", "curves.json holds a list, expected an object"),
        ("metrics.csv", "epoch,train/loss\nnone,1\n", "metrics.csv has no number in its column 'epoch'"),
        ("explanations/shapes_0001/explanation.json", "{}", "shapes_0001/explanation.json: not an explanation record"),
        ("explanations/shapes_0001/card.png", "no picture", "the card of case 'shapes_0001' could not be read"),
    ],
)
def test_a_broken_file_is_told_and_the_rest_is_shown(tmp_path, name, content, message):
    run_dir = make_run(tmp_path / "run", cases=2)
    (run_dir / name).write_text(content)
    page = Page(write_report(run_dir).read_text())
    assert message in page.text
    assert "Files that could not be read (1)" in page.text


def test_a_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such run folder; give the output_dir"):
        write_report(tmp_path / "nowhere")


def test_a_workflow_that_did_not_finish_is_told(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"name": "x", "workflows": {"evaluation": {"status": "started"}}}))
    assert "Not finished when this report was written: evaluation" in Page(write_report(tmp_path).read_text()).text


def test_a_method_adds_a_section(tmp_path):
    def beliefs(run):
        return Section("beliefs", "Beliefs", [Prose("How sure."), Definitions([("runs", str(len(run.run)))])])

    page = Page(write_report(tmp_path, [*SECTIONS, beliefs, lambda run: None]).read_text())
    assert page.all("section")[-1]["id"] == "beliefs"
    assert "How sure." in page.text


@pytest.mark.parametrize(
    ("own", "chance", "words"),
    [
        ((0.3, 0.4), (0.1, 0.2), "harms the prediction more"),
        ((0.1, 0.2), (0.3, 0.4), "harms the prediction less"),
        ((0.1, 0.3), (0.2, 0.4), "cannot be told from a random order"),
    ],
)
def test_the_verdict_on_the_order_follows_the_intervals(tmp_path, own, chance, words):
    assert words in verdict_on(tmp_path, {"aopc": own, "aopc_random": chance})


@pytest.mark.parametrize(
    ("own", "swapped", "words"),
    [
        ((0.9, 1.0), (0.5, 0.7), "is less accurate"),
        ((0.8, 1.0), (0.7, 0.9), "where this map is bright does not decide"),
    ],
)
def test_the_verdict_on_swapped_maps_follows_the_intervals(tmp_path, own, swapped, words):
    assert words in verdict_on(tmp_path, {"map_dependence/own": own, "map_dependence/swapped": swapped})


def verdict_on(folder, pairs):
    test = {name: {"value": sum(ends) / 2, "low": ends[0], "high": ends[1], "n": 9} for name, ends in pairs.items()}
    (folder / "metrics.json").write_text(json.dumps({"test": test}))
    return Page(write_report(folder).read_text()).text


def cases(wrong, right, card):
    def record(index, label):
        high = 0.51 + 0.004 * index
        return a_record(
            case_id=f"{'wrong' if label == 0 else 'right'} {index}", label=label, probabilities=[1 - high, high]
        )

    return [(record(i, 0), card) for i in range(wrong)] + [(record(i, 1), card) for i in range(right)]


def test_wrong_cases_come_first_then_even_steps_of_confidence(tmp_path):
    chosen = [record["case_id"] for record, _ in choose_cases(cases(3, 101, tmp_path), 8)]
    assert chosen == ["wrong 2", "wrong 1", "wrong 0", "right 0", "right 25", "right 50", "right 75", "right 100"]
    assert len(choose_cases(cases(20, 5, tmp_path), 8)) == 8
    assert len(choose_cases(cases(2, 3, tmp_path), 8)) == 5


def test_the_gallery_stops_at_its_limits_and_says_so(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (140, 240, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "card.png")
    found = cases(2, 6, tmp_path / "card.png")
    gallery = build_gallery(found, [], most_cases=4)
    assert len(gallery.items) == 4
    assert gallery.note.startswith("4 of 8 explained cases are shown: the wrong ones first (2 in all)")
    small = build_gallery(found, [], most_bytes=100)
    assert len(small.items) == 1
    assert small.note.startswith("1 of 8 explained cases are shown")
    assert build_gallery([(record, None) for record, _ in found], []) is None


def test_what_the_run_folder_holds(run_dir):
    run = read_run_folder(run_dir)
    assert run.history[0]["epoch"] == 1.0
    assert run.history[0]["stage"] == "classifier"
    assert run.history[0]["train/sparsity"] is None
    assert len(run.explanations) == 8
    assert run.data["synthetic"] is True
    assert [(failure["case"], failure["workflow"]) for failure in run.failures()] == [("shapes_0099", "explanation")]
    assert run.problems == []
