"""Tokens, words, truncation, fingerprints, bad files; the tokenizer and the prompts that are shipped."""

import json
import logging

import pytest
import torch

from common.text import Tokenizer, findings_in, load_prompts, normalise, prompt_texts, train_tokenizer
from common.text.lexicon import TERMS
from common.text.report_writer_dutch import DUTCH
from common.text.report_writer_english import ENGLISH

FINDINGS = ["mass", "calcification", "distortion", "asymmetry"]
CHEST = ["cardiomegaly", "effusion", "pneumothorax", "consolidation", "atelectasis", "edema", "nodule"]
SIDES = ["left", "right"]
BREAST = {"mass": {"positive": ["A mass in the {side} breast."], "negative": ["No mass in the {side} breast."]}}


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["The fibroadenoma is stable, 12.5 mm."] * 2)


@pytest.fixture(scope="module")
def shipped(repository):
    return Tokenizer.from_file(repository / "bundles/vwyl_report_classification/configs/text/tokenizer.json")


def test_tokens_and_words(tokenizer):
    token, word = tokenizer.encode(["Fibroadenoma of 2.1cm", "xyq"], 12)
    assert token.dtype == word.dtype == torch.int64
    assert word[0].tolist() == [-1, 0, 1, 2, 2, 2, 3, -1, -1, -1, -1, -1]  # 2.1 is one word of three pieces
    assert word[1].tolist() == [-1, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1]
    assert ((token == 0) == torch.tensor([[0] * 8 + [1] * 4, [0] * 5 + [1] * 7], dtype=torch.bool)).all()
    assert token[0, 0] == token[1, 0] == 2
    assert token[0, 7] == token[1, 4] == 3
    assert not (token == 1).any()


def test_words_are_numbered_as_their_tokens_are(tokenizer):
    text = "Mass (L), 2,1 cm; BI-RADS 4c"
    words = tokenizer.words(text)
    assert words == ["mass", "left", ",", "2.1", "cm", ";", "birads", "4c"]
    assert tokenizer.encode([text], 32)[1].max() == len(words) - 1


def test_equal_texts_make_equal_tokenizers(tokenizer, tmp_path):
    again = train_tokenizer(["The fibroadenoma is stable, 12.5 mm."] * 2)
    other = train_tokenizer(["The hamartoma is stable, 12.5 mm."] * 2)
    assert again.fingerprint == tokenizer.fingerprint != other.fingerprint
    tokenizer.save(tmp_path / "tokenizer.json")
    read = Tokenizer.from_file(tmp_path / "tokenizer.json")
    assert read.fingerprint == tokenizer.fingerprint
    assert 0 <= read.fingerprint < 2**63
    assert read.encode(["a fibroadenoma"], 6)[0].equal(tokenizer.encode(["a fibroadenoma"], 6)[0])


def test_clinical_words_and_words_seen_twice_stay_whole(tokenizer):
    for term in [*TERMS, "fibroadenoma"]:
        words = tokenizer.words(term)
        assert (tokenizer.encode([term], 16)[0] > 0).sum() == len(words) + 2, term


def test_the_size_is_kept():
    with pytest.raises(ValueError, match=r"expected at least") as error:
        train_tokenizer([], 100)
    least = int(str(error.value).split("expected at least")[1].split(":")[0])
    texts = [f"{left}{right} " * 2 for left in ("pseudo", "macro", "angio") for right in ("sarcoma", "cyst", "lipoma")]
    assert train_tokenizer(texts, least).vocabulary_size == least
    assert train_tokenizer(texts, least + 5).vocabulary_size == least + 5


def test_long_texts_lose_their_end_and_that_is_counted(tokenizer, caplog):
    known = Tokenizer(tokenizer._pieces)
    with caplog.at_level(logging.WARNING):
        token, word = known.encode(["left breast mass"] * 12, 4)
    assert known.truncated == 12
    assert [record.args[0] for record in caplog.records] == [1, 10]
    assert word[0].tolist() == [-1, 0, 1, -1]
    assert token[0].tolist() == known.encode(["left breast"], 4)[0][0].tolist()


@pytest.mark.parametrize("text", ["", "  ", "乳房"])
def test_a_text_that_yields_no_token_is_refused(tokenizer, text):
    with pytest.raises(ValueError, match="yields no token"):
        tokenizer.encode(["fine", text], 8)


@pytest.mark.parametrize(("texts", "length", "message"), [("a mass", 8, "a list of texts"), (["a"], 2, "3 or more")])
def test_impossible_requests_are_refused(tokenizer, texts, length, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.encode(texts, length)


def test_bad_files_are_named(tokenizer, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"does not exist; expected a tokenizer\.json"):
        Tokenizer.from_file(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match=r"broken\.json is not a tokenizer\.json"):
        Tokenizer.from_file(tmp_path / "broken.json")
    tokenizer.save(tmp_path / "moved.json")
    content = json.loads((tmp_path / "moved.json").read_text())
    content["model"]["vocab"] |= {"[PAD]": 1, "[UNK]": 0}
    (tmp_path / "moved.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"token 0 is '\[UNK\]', expected the padding token"):
        Tokenizer.from_file(tmp_path / "moved.json")


def test_presets_of_padding_and_truncation_are_switched_off(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "preset.json")
    content = json.loads((tmp_path / "preset.json").read_text())
    content["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "direction": "Right", "stride": 0}
    (tmp_path / "preset.json").write_text(json.dumps(content))
    assert Tokenizer.from_file(tmp_path / "preset.json").encode(["a left mass"], 8)[1].max() == 2


def test_the_shipped_tokenizer_knows_what_reports_say(shipped, repository):
    """Words of the report writer's nouns and descriptors are whole, and no template needs the unknown token."""
    assert (repository / "bundles/vwyl_report_classification/configs/text/tokenizer.json").stat().st_size <= 60_000
    for language in (ENGLISH, DUTCH):
        for text in (*language.found, *language.absent, *language.normal, *language.assessment, *language.irrelevant):
            assert not (shipped.encode([text.replace("{", "").replace("}", "")], 64)[0] == 1).any(), text
        for nouns in language.nouns.values():
            for noun in (noun for number in nouns for noun in number):
                assert (shipped.encode([noun], 16)[0] > 0).sum() == len(noun.split()) + 2, noun


@pytest.mark.parametrize(
    ("name", "findings", "sides"),
    [("prompts", FINDINGS, SIDES), ("prompts_dutch", FINDINGS, SIDES), ("prompts_chest", CHEST, ["chest"])],
)
def test_the_shipped_prompts_say_what_they_stand_for(name, findings, sides, shipped, repository):
    path = repository / f"bundles/vwyl_report_classification/configs/text/{name}.json"
    token, word = load_prompts(path, findings, sides, shipped, 20)
    assert token.shape == word.shape == (len(sides), len(findings), 2, 4, 20)
    assert not (token == 1).any()
    assert shipped.truncated == 0
    for side, of_side in zip(sides, prompt_texts(path, findings, sides), strict=True):
        for finding, pair in zip(findings, of_side, strict=True):
            for present, lines in zip((True, False), pair, strict=True):
                stated = [findings_in(line) for line in lines]
                expected = {"mass" if finding == "nodule" else finding: present}
                assert [facts for facts in stated if facts not in (expected, {})] == [], lines
                assert len(sides) == 1 or all(side in line for line in lines)
                assert len(set(lines)) == 4


def write(folder, findings):
    path = folder / "prompts.json"
    path.write_text(json.dumps({"findings": findings}))
    return path


def test_prompts_go_the_way_of_reports(tokenizer, tmp_path):
    path = write(tmp_path, BREAST)
    assert prompt_texts(path, ["mass"], SIDES) == [
        [[["a mass in the left breast."], ["no mass in the left breast."]]],
        [[["a mass in the right breast."], ["no mass in the right breast."]]],
    ]
    token, word = load_prompts(path, ["mass"], SIDES, tokenizer, 12)
    expected = tokenizer.encode([normalise("No mass in the R breast.")], 12)
    assert token[1, 0, 1, 0].equal(expected[0][0])
    assert word[1, 0, 1, 0].equal(expected[1][0])


@pytest.mark.parametrize(
    ("content", "findings", "message"),
    [
        (BREAST, ["masss"], "no prompts for the finding 'masss'; did you mean 'mass'?"),
        ({"mass": {"positive": [], "negative": ["{side}"]}}, ["mass"], "'mass' has no positive prompts"),
        ({"mass": {"positive": ["{side}"]}}, ["mass"], "'mass' has no negative prompts"),
        ({"mass": {"positive": ["a mass"], "negative": ["{side}"]}}, ["mass"], "does not say which side"),
        (
            {"mass": {"positive": ["{side}"], "negative": ["no {side}", "{side}"]}},
            ["mass"],
            "1 for mass positive, 2 for",
        ),
        (["mass"], ["mass"], "expected .*findings"),
    ],
)
def test_bad_prompt_files_are_refused(content, findings, message, tmp_path):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        prompt_texts(write(tmp_path, content), findings, SIDES)


def test_a_missing_prompt_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json does not exist"):
        prompt_texts(tmp_path / "none.json", ["mass"], SIDES)
