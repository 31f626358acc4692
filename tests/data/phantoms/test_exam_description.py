"""The hidden description of an exam: frequencies, rules, places, and the combinations kept for the test."""

import math

import pytest

from common.data.phantoms import EXAM_PRESETS, ExamSettings, describe_exam
from common.data.phantoms.exam_description import HELD_OUT, _distance, birads, is_held_out
from common.text.report_writer_facts import Finding

SETTINGS = ExamSettings.from_options({"asymmetry_fraction": 0.1, "missing_fraction": 0.3, "seed": 2})
EXAMS = [describe_exam(SETTINGS, split, number) for split in ("training", "test") for number in range(600)]
BREASTS = [breast for exam in EXAMS for breast in exam.breasts]
LESIONS = [lesion for breast in BREASTS for lesion in breast.lesions]


def test_frequencies_are_as_set():
    plain = [describe_exam(ExamSettings(), "training", number) for number in range(800)]
    found = [lesion.finding.type for exam in plain for breast in exam.breasts for lesion in breast.lesions]
    for kind, share in {"mass": 0.34, "calcification": 0.34, "distortion": 0.14, "asymmetry": 0}.items():
        assert found.count(kind) / 1600 == pytest.approx(share, abs=0.04)
    for density in "abcd":
        assert sum(exam.density == density for exam in plain) / 800 == pytest.approx(0.25, abs=0.05)
    assert max(len(breast.lesions) for breast in BREASTS) == 2
    assert sum(len(exam.views) < 4 for exam in EXAMS) / len(EXAMS) == pytest.approx(0.3, abs=0.05)
    assert min(len(exam.views) for exam in EXAMS) == 1


@pytest.mark.parametrize(
    ("finding", "category"),
    [
        (Finding("left", "mass", shape="irregular", margin="spiculated"), 5),
        (Finding("left", "mass", shape="round", margin="spiculated"), 4),
        (Finding("left", "mass", shape="oval", margin="circumscribed"), 2),
        (Finding("left", "mass", shape="round", margin="circumscribed", mass_density="equal"), 3),
        (Finding("left", "mass", shape="round", margin="circumscribed", mass_density="high"), 4),
        (Finding("left", "calcification", morphology="branching", distribution="segmental"), 5),
        (Finding("left", "calcification", morphology="branching", distribution="grouped"), 4),
        (Finding("left", "calcification", morphology="popcorn", distribution="linear"), 2),
        (Finding("left", "calcification", morphology="round", distribution="grouped"), 3),
        (Finding("left", "calcification", morphology="round", distribution="regional"), 2),
        (Finding("left", "calcification", morphology="amorphous", distribution="grouped"), 4),
        (Finding("left", "distortion"), 4),
        (Finding("left", "asymmetry", extent="focal"), 3),
        (Finding("left", "asymmetry", extent="global"), 2),
    ],
)
def test_categories_follow_the_table(finding, category):
    assert birads(finding) == category


def test_a_breast_has_its_worst_category_and_malignancy_rises_with_it():
    for breast in BREASTS:
        assert breast.birads == max((birads(lesion.finding) for lesion in breast.lesions), default=1)
    chance = {
        category: sum(breast.malignant for breast in BREASTS if breast.birads == category)
        / sum(breast.birads == category for breast in BREASTS)
        for category in range(1, 6)
    }
    assert chance[1] == chance[2] == 0
    assert chance[4] == pytest.approx(0.3, abs=0.05)
    assert chance[5] > 0.85


def test_words_of_places_are_the_places():
    for lesion in LESIONS:
        vertical, across = lesion.finding.quadrant.split()
        assert (lesion.upper > 0, lesion.outer > 0) == (vertical == "upper", across == "outer")
        hour = math.degrees(math.atan2(lesion.outer, lesion.upper)) / 30 % 12
        clock = lesion.finding.clock if lesion.finding.side == "left" else 12 - lesion.finding.clock
        assert round(hour) == clock
        thirds = {"posterior": (0, 1 / 3), "middle": (1 / 3, 2 / 3), "anterior": (2 / 3, 1)}
        assert thirds[lesion.finding.depth][0] <= lesion.depth <= thirds[lesion.finding.depth][1]
        assert lesion.finding.size_mm == round(2 * lesion.radius * 150)


def test_findings_of_a_breast_are_apart_in_both_views():
    pairs = [breast.lesions for breast in BREASTS if len(breast.lesions) == 2]
    distances = [_distance(*((one.depth, one.outer, one.upper) for one in pair)) for pair in pairs]
    assert sum(distance < 0.15 for distance in distances) <= 0.02 * len(pairs)


def test_held_out_combinations_are_in_the_test_alone():
    rare = {exam.split for exam in EXAMS for breast in exam.breasts for one in breast.lesions if one.held_out}
    assert rare == {"test"}
    assert all(lesion.held_out == is_held_out(lesion.finding) for lesion in LESIONS)
    free = ExamSettings.from_options({"held_out": False})
    exams = [describe_exam(free, "training", number) for number in range(300)]
    found = [lesion for exam in exams for breast in exam.breasts for lesion in breast.lesions]
    assert any(is_held_out(lesion.finding) for lesion in found)
    assert not any(lesion.held_out for lesion in found)
    assert len(HELD_OUT) == 2


def test_reports_speak_of_sides_with_images_alone():
    for exam in EXAMS:
        facts, sides = exam.facts(SETTINGS.findings), {view.split("_")[0] for view in exam.views}
        assert set(facts.birads) == sides
        told = {finding.side for finding in facts.findings} | {side for side, _ in facts.absent} | set(facts.normal)
        assert told == sides
        assert len(facts.absent) + len(facts.findings) == 4 * len(sides)


def test_an_exam_depends_on_seed_split_and_number_alone():
    larger = ExamSettings.from_options({**SETTINGS.to_options(), "count": (9, 9, 9)})
    assert describe_exam(larger, "training", 5) == EXAMS[5]
    others = [EXAMS[6], describe_exam(SETTINGS, "validation", 5)]
    others.append(describe_exam(ExamSettings.from_options({**SETTINGS.to_options(), "seed": 3}), "training", 5))
    assert all(other.breasts != EXAMS[5].breasts or other.density != EXAMS[5].density for other in others)


def test_settings_go_to_plain_values_and_back():
    for preset in EXAM_PRESETS:
        settings = ExamSettings.from_options({}, preset)
        assert ExamSettings.from_options(settings.to_options()) == settings
    assert ExamSettings.from_options({"count": 30}).count == (30, 30, 30)
    hard = ExamSettings.from_options({}, "hard")
    assert (hard.mass_contrast, hard.islands, hard.noise) == ((0.14, 0.30), (2, 5), 0.03)
    assert ExamSettings.from_options({}).findings == ("mass", "calcification", "distortion")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": (1, 1, 1)}, "expected at least 2 exams for training"),
        ({"count": (1, 1)}, "expected one number, or three"),
        ({"size": 16}, "size=16: expected at least 48"),
        ({"radius": (0.08, 0.03)}, "write radius=0.03,0.08"),
        ({"radius": 0.2}, "fits into no breast"),
        ({"radius": 0.01}, "radius of 1.0 pixels, expected at least 1.5"),
        ({"mass_contrast": (0.0, 0.1)}, "expected numbers above 0, up to 1"),
        ({"mass_fraction": 1.5}, "mass_fraction=1.5: expected a number from 0 to 1"),
        ({"language": "de"}, "expected one of en, nl"),
        ({"mass_fraction": 0, "calcification_fraction": 0, "distortion_fraction": 0}, "no breast would have a finding"),
        ({"speks": 3}, "did you mean 'specks'?"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        ExamSettings.from_options(options)
