"""Reports from facts: other words for every seed, the same facts in all of them, which the parser gets back."""

import re

import numpy as np
import pytest

from common.text import findings_in, sentence_key, side_of, split_sentences
from common.text.report_parser import parse_report, parse_sentence
from common.text.report_writer import LANGUAGES, add_typos, choose_facts, language_of, phrase_report, write_report
from common.text.report_writer_facts import (
    DENSITIES,
    DESCRIPTORS,
    SIDES,
    VALUES,
    Finding,
    ReportFacts,
    quadrant_at,
)

MASS = Finding("left", "mass", 12, "oval", "spiculated", "high", quadrant="upper outer", clock=2, depth="posterior")
FACTS = ReportFacts((MASS,), (("left", "distortion"), ("right", "mass")), ("right",), "b", {"left": 4, "right": 1})


def random_facts(rng):
    """Draw facts in which everything occurs."""
    findings, absent, normal = [], [], []
    for side in SIDES:
        kinds = [kind for kind in DESCRIPTORS if rng.random() < 0.3]
        for kind in kinds:
            quadrant = str(rng.choice(VALUES["quadrant"]))
            hours = [hour for hour in range(1, 13) if quadrant_at(side, hour) == quadrant]
            words = {name: str(rng.choice(VALUES[name])) for name in ("depth", *DESCRIPTORS[kind])}
            clock, size = int(rng.choice(hours)), int(rng.integers(3, 40))
            findings.append(Finding(side, kind, size, quadrant=quadrant, clock=clock, **words))
        absent += [(side, kind) for kind in DESCRIPTORS if kind not in kinds]
        normal += [] if kinds else [side]
    birads = {side: int(rng.integers(1, 6)) for side in SIDES}
    return ReportFacts(tuple(findings), tuple(absent), tuple(normal), str(rng.choice(DENSITIES)), birads)


def content(facts):
    return set(facts.findings), set(facts.absent), set(facts.normal), facts.density, dict(facts.birads)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_parser_gets_every_fact_back(language):
    for number in range(250):
        rng = np.random.default_rng([3, number])
        said = choose_facts(random_facts(rng), rng)
        text = phrase_report(said, language_of(language), rng, irrelevant=0.5)
        assert content(parse_report(text, language)) == content(said), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_report_says_nothing_but_the_facts(language):
    for number in range(100):
        facts = random_facts(np.random.default_rng([4, number]))
        read = parse_report(write_report(facts, number, language, omitted=0), language)
        full = {(finding.side, finding.type): finding for finding in facts.findings}
        assert set(full) == {(finding.side, finding.type) for finding in read.findings}, "omitted=0 forgets none"
        for finding in read.findings:
            for name in ("size_mm", *VALUES):
                assert getattr(finding, name) in (None, getattr(full[finding.side, finding.type], name))
        assert set(read.absent) <= set(facts.absent)
        assert set(read.normal) == set(facts.normal)
        assert max(read.birads.values()) == max(facts.birads.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_reports_are_nearly_all_different_and_each_fact_has_six_wordings(language):
    texts = {write_report(random_facts(np.random.default_rng([5, n])), n, language) for n in range(600)}
    assert len(texts) >= 570
    words = language_of(language)
    for templates in (words.found, words.absent, words.normal, words.density, words.assessment, words.assessment_sides):
        assert len(set(templates)) >= 6
    single = ReportFacts(absent=(("left", "mass"),))
    assert len({phrase_report(single, words, np.random.default_rng(n), 0) for n in range(200)}) >= 12


@pytest.mark.parametrize("language", LANGUAGES)
def test_keywords_sides_and_sentence_ends_agree_with_the_parser(language):
    """Two implementations: the keyword table for any report, and the parser that knows the templates."""
    for number in range(150):
        text = write_report(random_facts(np.random.default_rng([6, number])), number, language)
        plain, normalised = re.split(r"(?<=[.!?])\s+", text), split_sentences(text)
        for sentence, raw in zip(normalised, plain, strict=True):
            facts = parse_sentence(sentence, language)
            assert facts == parse_sentence(raw, language)
            expected = {finding.type: True for finding in facts.findings} | {kind: False for _, kind in facts.absent}
            if facts.normal:
                expected = {"normal": True}
            if not facts.birads:
                assert findings_in(sentence) == expected, sentence
            sides = [f.side for f in facts.findings] + [side for side, _ in facts.absent] + list(facts.normal)
            assert side_of(sentence, SIDES) == (SIDES.index(sides[0]) if sides else -1), sentence


def test_a_report_in_full():
    assert write_report(FACTS, 1, omitted=0) == write_report(FACTS, 1, omitted=0)
    said = ReportFacts((Finding("left", "mass", size_mm=8, margin="spiculated"),), density="a", birads={"exam": 4})
    text = phrase_report(said, language_of("en"), np.random.default_rng(0), irrelevant=0)
    sentences = text.split(". ")
    assert len(sentences) == 3, "density, left, assessment"
    assert "left" in sentences[1]
    assert re.search("8 mm|0.8 cm", sentences[1])
    assert re.search("spiculated|stellate", sentences[1])
    assert "BI-RADS 4" in sentences[2] or "BI-RADS category 4" in sentences[2]


@pytest.mark.parametrize(
    ("sentence", "language", "facts"),
    [
        ("No mass in the left breast.", "en", ReportFacts(absent=(("left", "mass"),))),
        ("Right breast: normal.", "en", ReportFacts(normal=("right",))),
        (
            "There is a 1.2 cm mass with well-defined margins in the right breast, at 10 o'clock.",
            "en",
            ReportFacts((Finding("right", "mass", 12, margin="circumscribed", quadrant="upper outer", clock=10),)),
        ),
        (
            "Links fijn lineair vertakkende kalkspatten, van 2,5 cm, mediaal onder.",
            "nl",
            ReportFacts((Finding("left", "calcification", 25, morphology="branching", quadrant="lower inner"),)),
        ),
        ("BI-RADS 2 left, BI-RADS 5 right.", "en", ReportFacts(birads={"left": 2, "right": 5})),
        ("Conclusie: rechts BI-RADS 2, links BI-RADS 5.", "nl", ReportFacts(birads={"right": 2, "left": 5})),
        ("The breasts are extremely dense.", "en", ReportFacts(density="d")),
        ("Standard views were obtained.", "en", ReportFacts()),
    ],
)
def test_sentences_are_read(sentence, language, facts):
    assert parse_sentence(sentence, language) == facts


def test_other_words_for_the_same_have_one_key():
    keys = {
        sentence_key(phrase_report(ReportFacts(absent=(("left", "mass"),)), language_of(name), rng, 0))
        for name in LANGUAGES
        for rng in map(np.random.default_rng, range(30))
    }
    assert len(keys) == 1


def test_findings_are_forgotten_as_often_as_asked():
    facts = ReportFacts((MASS,))
    forgotten = sum(not choose_facts(facts, np.random.default_rng(n), 0.2).findings for n in range(2000))
    assert forgotten / 2000 == pytest.approx(0.2, abs=0.03)


def test_typos_change_letters_of_long_words_only():
    text = "No suspicious calcifications, 12 mm, BI-RADS 4."
    assert add_typos(text, 0, np.random.default_rng(0)) == text
    changed = add_typos(text, 1, np.random.default_rng(0)).split(" ")
    for before, after in zip(text.split(" "), changed, strict=True):
        long = len(before.rstrip(".,")) >= 5 and before.rstrip(".,").isalpha()
        assert len(before) - len(after) in ((0, 1) if long else (0,))
        assert long or before == after
    assert write_report(FACTS, 1, typos=0.5) != write_report(FACTS, 1)


def test_the_clock_of_the_right_breast_is_mirrored():
    assert [quadrant_at(side, 2) for side in SIDES] == ["upper outer", "upper inner"]
    assert [quadrant_at(side, 8) for side in SIDES] == ["lower inner", "lower outer"]
    assert [quadrant_at(side, hour) for side in SIDES for hour in (3, 6, 9, 12)] == [None] * 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Finding("middle", "mass"), "side='middle': expected one of left, right"),
        (lambda: Finding("left", "cyst"), "type='cyst': expected one of mass, calcification"),
        (lambda: Finding("left", "mass", margin="sharp"), "margin='sharp': expected one of circumscribed"),
        (lambda: Finding("left", "mass", extent="focal"), "a mass has no extent"),
        (lambda: Finding("left", "mass", quadrant="upper inner", clock=2), "clock=2 in the left breast is upper outer"),
        (lambda: Finding("left", "mass", size_mm=0), "size_mm=0: expected at least 1"),
        (lambda: ReportFacts((MASS,), absent=(("left", "mass"),)), "a mass in the left breast is said to be there and"),
        (lambda: ReportFacts(birads={"left": 6}), "BI-RADS category=6: expected one of 1, 2"),
        (lambda: write_report(FACTS, 0, "de"), "language='de': expected one of en, nl"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()
