"""One spelling for all: BI-RADS, decimals, units, sides, accents; sentences and sections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.text import (
    check_report,
    expand_laterality,
    mask_identifiers,
    normalise,
    pick_sections,
    side_of,
    split_sentences,
)

SIDES = ["left", "right"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("BI-RADS: 4c.", "birads 4c."),
        ("ACR BIRADS categorie 4 C", "birads 4c"),
        ("Bi-Rads category 2 left", "birads 2 left"),
        ("BI-RADS 4 calcification", "birads 4 calcification"),
        ("BI-RADS 4 a mass", "birads 4 a mass"),
        ("BI-RADS 0-2", "birads 0-2"),
        ("Birads IV", "birads 4"),
        ("bi rads", "birads"),
        ("a mass of 2,1cm in the L breast", "a mass of 2.1 cm in the left breast"),
        ("12x8mm (R)", "12 x 8 mm right"),
        ("12 mm × 8 millimetres", "12 mm x 8 mm"),
        ("1.5 centimeters", "1.5 cm"),
        ("a mass of 2,1\ncm, BI-RADS\n4", "a mass of 2.1 cm, birads 4"),
        ("Café – “ok”", 'cafe - "ok"'),
        ("ﬁne  linear\nbranching", "fine linear branching"),
        ("at 1, 2 or 3 o’clock", "at 1, 2 or 3 o'clock"),
    ],
)
def test_one_spelling(written, expected):
    assert normalise(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("linkerborst, rechts", "left borst, right"),
        ("Rechtszijdig, linksboven", "right, left boven"),
        ("li. mamma, re. mamma", "left mamma, right mamma"),
        ("RT breast, Lt. breast", "right breast, left breast"),
        ("L-CC and R MLO", "left-CC and right MLO"),
        ("L4 vertebra, 5 L of r water, L's", "L4 vertebra, 5 L of r water, L's"),
        ("rechtstreeks, linkse, lithium", "rechtstreeks, linkse, lithium"),
    ],
)
def test_sides_are_written_out_and_nothing_else(written, expected):
    assert expand_laterality(written) == expected


@given(st.text(alphabet="abcLRrl0123456789.,xX*-: ()'birads mm cm\n\t×–éﬁ½", max_size=40))
def test_normal_text_stays_as_it_is(text):
    once = normalise(text)
    assert normalise(once) == once
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    ("sentence", "side"),
    [
        ("a mass in the left breast", 0),
        ("the right breast is normal", 1),
        ("the left breast is like the right", -1),
        ("both breasts, the left one too", -1),
        ("the breasts are dense", -1),
        ("leftover", -1),
    ],
)
def test_side_of_a_sentence(sentence, side):
    assert side_of(sentence, SIDES) == side


def test_a_body_without_sides_is_what_every_sentence_speaks_of():
    assert side_of("small left pleural effusion", ["chest"]) == 0


def test_sentences():
    report = (
        "There is a 2.1 cm mass in the left\nbreast. No calcifications; e.g. none in R.\n\nConclusion\n"
        "1. BI-RADS 4c. 2. Mass of 3 mm. 3) Normal.\n- one item\n- another: Stable? 12."
    )
    assert split_sentences(report) == [
        "there is a 2.1 cm mass in the left breast",
        "no calcifications",
        "e.g. none in right",
        "birads 4c",
        "mass of 3 mm",
        "normal",
        "one item",
        "another: stable",
    ]


@pytest.mark.parametrize(
    ("report", "sentences"),
    [
        (
            "LEFT BREAST: \r\nA mass. Calcifications.\nRight breast: dense. No mass.\n\nStable.",
            ["left breast: a mass", "left breast: calcifications", "right breast: dense", "no mass", "stable"],
        ),
        ("L:\n\n---\n\nNo mass.\nSkin clear.", ["left: no mass", "left: skin clear"]),
        (
            "LEFT BREAST:\nNormal, unlike the other breast\nRIGHT BREAST ULTRASOUND:\nA mass.\nADVICE:\nBiopsy.",
            ["normal, unlike the other breast", "right breast ultrasound: a mass", "biopsy"],
        ),
        ("Left breast:\nA mass\nCONCLUSION\nBI-RADS 4.", ["left breast: a mass", "birads 4"]),
        ("Linkerborst:\n- massa\nBeide borsten:\nVerkalkingen.", ["left borst: massa", "verkalkingen"]),
        ("Echografie rechts:\nGeen massa. Oksels vrij bdz. Normaal.",
         ["echografie right: geen massa", "oksels vrij bdz", "echografie right: normaal"]),
        ("Mass left: 3 mm. No calcifications.", ["mass left: 3 mm", "no calcifications"]),
    ],
)  # fmt: skip
def test_a_heading_gives_its_side_to_the_sentences_below_it(report, sentences):
    assert split_sentences(report) == sentences


@pytest.mark.parametrize("empty", ["", " \n\n ", "1. 2. ...", "--- ;"])
def test_no_sentences(empty):
    assert split_sentences(empty) == []


def test_identifiers_are_masked_before_anything_else():
    report = "Dr. J. Smith saw on 12-03-2020 patient 1234567 (a@b.nl). Mass of 2.1 cm, BI-RADS 4c, Mrs Jones. The end."
    masked = "name saw on date patient number (address). Mass of 2.1 cm, BI-RADS 4c, name. The end."
    assert mask_identifiers(report) == masked
    assert split_sentences(report, mask_identifiers)[1] == "mass of 2.1 cm, birads 4c, name"


@pytest.mark.parametrize(
    ("report", "wanted", "text"),
    [
        (
            "INDICATION: pain. FINDINGS: a mass. IMPRESSION: BI-RADS 4\n",
            ("findings", "impression"),
            "a mass.\n\nBI-RADS 4",
        ),
        ("Techniek: x\nBevindingen\nmassa; de conclusie: n\nConclusie: BI-RADS 2", ("impression",), "BI-RADS 2"),
        ("Techniek: x\nBevindingen\nmassa; de conclusie: n\nConclusie: 2", ("findings",), "massa; de conclusie: n"),
        (" A report without headings. ", ("findings",), "A report without headings."),
        ("Technique: two views.", ("findings",), "Technique: two views."),
    ],
)
def test_sections(report, wanted, text):
    assert pick_sections(report, wanted) == text


def test_an_unknown_section_is_refused():
    with pytest.raises(ValueError, match="did you mean 'impression'"):
        pick_sections("text", ["impresion"])


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (None, "exam 'E1' has no report text"),
        (" \n", "exam 'E1' has no report text"),
        ("12. 3.4", "has no words"),
        ("左乳腺肿块", "not in Latin script"),
        ("Масса в левой груди, BI-RADS 4", "not in Latin script"),
    ],
)
def test_reports_that_teach_nothing_are_refused(report, message):
    with pytest.raises(ValueError, match=message):
        check_report(report, "exam 'E1'")


def test_latin_reports_with_accents_pass():
    assert check_report("Één massa, ± 2 cm, α", "exam 'E1'") == "Één massa, ± 2 cm, α"
