"""Findings stated and denied, in every wording of the report writer; keys that are equal where the meaning is."""

import hashlib

import pytest

from common.text import findings_in, sentence_key, side_of, split_sentences
from common.text.report_writer_dutch import DUTCH
from common.text.report_writer_english import ENGLISH

SIDES = ["left", "right"]


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("No mass, but calcifications in the left breast.", {"mass": False, "calcification": True}),
        ("mass without calcifications", {"mass": True, "calcification": False}),
        ("calcifications are not seen", {"calcification": False}),
        ("A mass is seen, calcifications are not", {"mass": True, "calcification": False}),
        ("no mass is seen, and calcifications are present", {"mass": False, "calcification": True}),
        ("no mass, calcification or distortion", {"mass": False, "calcification": False, "distortion": False}),
        ("mass and distortion are absent", {"mass": False, "distortion": False}),
        ("calcifications are absent and a mass is seen", {"mass": True, "calcification": False}),
        ("the mass seen in 2019 is no longer visible", {"mass": False}),
        ("a mass is seen, the calcifications are no longer visible", {"mass": True, "calcification": False}),
        ("de massa is niet meer aantoonbaar", {"mass": False}),
        ("a mass is no longer just suspected", {"mass": True}),
        ("no change in the mass", {"mass": True}),
        ("a mass cannot be excluded", {"mass": True}),
        ("no mass; a mass", {"mass": True}),
        ("geen massa, wel microkalk", {"mass": False, "calcification": True}),
        ("massa links is niet aanwezig", {"mass": False}),
        ("architectuurverstoring", {"distortion": True}),
        ("the left breast is unremarkable", {"normal": True}),
        ("no suspicious finding", {"normal": True}),
        ("the heart is normal in size", {}),
        ("the skin is normal", {}),
        ("the breasts are dense", {}),
        ("no pleural effusion or pneumothorax", {"effusion": False, "pneumothorax": False}),
    ],
)
def test_findings_in(sentence, found):
    assert findings_in(sentence) == found


@pytest.mark.parametrize("language", [ENGLISH, DUTCH], ids=["english", "dutch"])
@pytest.mark.parametrize("side", SIDES)
def test_every_wording_of_the_report_writer_is_understood(language, side):
    """All wordings of one fact have one key, and no other fact has it."""
    names = language.sides[side]
    keys = set()
    for facts in [("normal", True, None, None), *_statements(language)]:
        finding, present, noun, verb = facts
        templates = language.normal if noun is None else language.found if present else language.absent
        for template in templates:
            report = template.format(np=noun, noun=noun, clauses=", 2.1 cm, close to it", **names, **{"is": verb})
            (sentence,) = split_sentences(report)
            assert findings_in(sentence) == {finding: present}, sentence
            assert side_of(sentence, SIDES) == SIDES.index(side), sentence
            keys.add((finding, present, sentence_key(sentence)))
    assert len(keys) == len({key for *_, key in keys}) == 1 + 2 * len(language.nouns)


def _statements(language):
    for finding, numbers in language.nouns.items():
        for nouns, verb in zip(numbers, language.verbs, strict=True):
            for noun in nouns:
                yield finding, True, noun, verb
                yield finding, False, noun, verb


def test_keys_tell_sides_denials_and_findings_apart():
    sentences = [
        "a mass on the left",
        "a mass on the right",
        "no mass on the left",
        "a mass",
        "a calcification on the left",
    ]
    assert len({sentence_key(sentence) for sentence in sentences}) == len(sentences)
    assert sentence_key("Links een haard.") == sentence_key("There is a nodule in the left breast")


def test_keys_of_the_text():
    assert sentence_key("A mass, 2,1cm.", "text") == sentence_key("a mass, 2.1 cm", "text")
    assert sentence_key("a mass", "text") != sentence_key("the mass", "text")
    assert sentence_key("the breasts are dense") == sentence_key("the breasts are dense", "text")


def test_keys_are_the_same_in_every_process():
    """As SHA-256 is, and unlike Python's own hash of a text."""
    digest = hashlib.sha256(b"0 +mass").hexdigest()
    assert sentence_key("A mass on the left.") == int(digest[:16], 16) // 2 == 4206410836414098279


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="did you mean 'finding'"):
        sentence_key("a mass", "findings")
