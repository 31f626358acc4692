"""Reports and prompts as text: one spelling, sentences, sides, findings, and numbers for networks."""

from common.text.beside import text_file
from common.text.keys import KEY_MODES, findings_in, sentence_key
from common.text.laterality import expand_laterality, side_of
from common.text.normalise import check_report, mask_identifiers, normalise
from common.text.prompts import load_prompts, prompt_texts
from common.text.sections import SECTIONS, pick_sections
from common.text.sentences import split_sentences
from common.text.tokenizer import Tokenizer, train_tokenizer

__all__ = [
    "KEY_MODES",
    "SECTIONS",
    "Tokenizer",
    "check_report",
    "expand_laterality",
    "findings_in",
    "load_prompts",
    "mask_identifiers",
    "normalise",
    "pick_sections",
    "prompt_texts",
    "sentence_key",
    "side_of",
    "split_sentences",
    "text_file",
    "train_tokenizer",
]
