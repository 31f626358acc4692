"""Reports into numbers: sentences, sides, keys, several reports, and what is refused."""

import logging

import pytest
import torch
from monai.data import list_data_collate

from common.data import CaseError
from common.data.report_transforms import ChooseReportd, TokenizeReportd
from common.text.tokenizer import train_tokenizer

REPORTS = [
    "The breasts are almost entirely fatty. There is a mass in the left breast. No calcifications in the right breast.",
    "A mass is seen in the left breast. Both breasts are normal otherwise.",
]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(REPORTS)


def tokenized(tokenizer, report, **options):
    options = {"max_sentences": 4, "max_tokens": 16} | options
    return TokenizeReportd(tokenizer, **options)({"case_id": "e1", "report": report})


def test_tokens_sides_and_keys(tokenizer):
    item = tokenized(tokenizer, REPORTS[0])
    assert item["token"].shape == item["word"].shape == (4, 16)
    assert item["token"].dtype == item["text_key"].dtype == torch.int64
    assert item["sentence_side"].tolist() == [-1, 0, 1, -1]
    assert (item["token"] > 0).any(1).tolist() == [True, True, True, False]
    assert (item["word"][3] == -1).all()
    assert item["text_key"][3] == -1
    assert len(set(item["text_key"].tolist())) == 4
    again, _ = tokenizer.encode(["There is a mass in the left breast"], 16)
    assert torch.equal(item["token"][1], again[0])


def test_paraphrases_share_a_key_by_finding_only(tokenizer):
    by_finding = [tokenized(tokenizer, report)["text_key"].tolist() for report in REPORTS]
    by_text = [tokenized(tokenizer, report, key="text")["text_key"].tolist() for report in REPORTS]
    assert by_finding[0][1] == by_finding[1][0]
    assert not set(by_text[0][:3]) & set(by_text[1][:2])


def test_several_reports_are_chosen_from(tokenizer):
    item = tokenized(tokenizer, REPORTS)
    assert item["token"].shape == (2, 4, 16)
    first = ChooseReportd(random=False)(item)
    assert first["report"] == REPORTS[0]
    assert first["sentence_side"].tolist() == [-1, 0, 1, -1]
    choose = ChooseReportd(random=True).set_random_state(0)
    chosen = [choose(item) for _ in range(20)]
    assert {each["report"] for each in chosen} == {*REPORTS}
    for each in chosen:
        expected = tokenized(tokenizer, each["report"])
        assert all(torch.equal(each[key], expected[key]) for key in ("token", "word", "sentence_side", "text_key"))
    batch = list_data_collate(chosen[:3])
    assert batch["token"].shape == (3, 4, 16)


def test_choosing_texts_before_they_are_tokenized(tokenizer):
    texts = ChooseReportd(random=False)({"case_id": "e1", "report": REPORTS})
    assert texts == {"case_id": "e1", "report": REPORTS[0]}
    assert ChooseReportd(random=True)(texts) == texts
    with pytest.raises(CaseError, match="the list of its reports is empty"):
        ChooseReportd(random=False)({"case_id": "e1", "report": []})


def test_one_side_and_sided_sentences_only(tokenizer):
    assert tokenized(tokenizer, REPORTS[0], sides=["chest"])["sentence_side"].tolist() == [0, 0, 0, -1]
    assert tokenized(tokenizer, REPORTS[0], sided_only=True)["sentence_side"].tolist() == [0, 1, -1, -1]
    both = tokenized(tokenizer, "Both breasts are normal.", sided_only=True)
    assert (both["token"] > 0).any(1).tolist() == [True, False, False, False]


def test_long_reports_are_cut_and_counted(tokenizer, caplog):
    transform = TokenizeReportd(tokenizer, max_sentences=2, max_tokens=16)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            item = transform({"case_id": "e1", "report": REPORTS[0]})
    assert item["sentence_side"].tolist() == [-1, 0]
    assert transform.shortened == 3
    cut = [record for record in caplog.messages if "more than 2 sentences" in record]
    assert len(cut) == 1
    assert "case 'e1' has 3" in cut[0]


@pytest.mark.parametrize("report", ["", None, []])
def test_missing_reports(tokenizer, report):
    with pytest.raises(CaseError, match="no report text") as caught:
        tokenized(tokenizer, report)
    assert caught.value.case_id == "e1"
    item = tokenized(tokenizer, report, allow_missing=True)
    assert not item["token"].any()
    for key in ("word", "sentence_side", "text_key"):
        assert (item[key] == -1).all()


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("Образование в левой молочной железе.", "is not in Latin script"),
        ("12.5 / 3", "has no words"),
        (["There is a mass.", " "], "no report text"),
    ],
)
def test_unreadable_reports(tokenizer, report, words):
    with pytest.raises(CaseError, match=words):
        tokenized(tokenizer, report)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_sentences": 0}, "max_sentences is 0"),
        ({"max_tokens": 2}, "max_tokens 2"),
        ({"key": "findings"}, "did you mean 'finding'"),
        ({"sides": "left"}, "expected a list"),
    ],
)
def test_impossible_options(tokenizer, options, words):
    with pytest.raises(ValueError, match=words):
        TokenizeReportd(tokenizer, **options)


def test_the_tokenizer_is_read_from_its_file(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    from_file = TokenizeReportd(str(tmp_path / "tokenizer.json"))({"report": REPORTS[0]})
    assert torch.equal(from_file["token"], TokenizeReportd(tokenizer)({"report": REPORTS[0]})["token"])
    with pytest.raises(FileNotFoundError, match=r"gone.json does not exist"):
        TokenizeReportd(tmp_path / "gone.json")


def test_sentences_state_deny_or_say_nothing_of_findings(tokenizer):
    report = (
        "There is no mass in the left breast. Calcifications on the right, no mass. The left breast is unremarkable."
    )
    item = tokenized(tokenizer, f"{report} The breasts are dense.")
    assert item["sentence_finding"].tolist() == [0, 1, 0, -1]
