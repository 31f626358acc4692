"""Sentences into numbers: a WordPiece tokenizer in one small JSON file."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Pieces
from torch import Tensor

from common.text.lexicon import TERMS
from common.text.normalise import normalise
from common.utils.files import write_text

__all__ = ["Tokenizer", "train_tokenizer"]

_logger = logging.getLogger(__name__)

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORD = r"\d+\.\d+|\w+|[^\w\s]"
_CONTINUING = "abcdefghijklmnopqrstuvwxyz0123456789."
_ALONE = "!\"#$%&'()*+,-/:;<=>?@[\\]^_`{|}~"
_SEEN = 2  # words and parts that occur less often are not worth a token


class Tokenizer:
    """Texts to token numbers, all of one length, with the word that each token belongs to.

    Texts go through :func:`common.text.normalise` first. Any ``tokenizer.json`` of the ``tokenizers`` library serves
    whose padding token is number 0, as BERT's is.

    Args:
        pieces: the library's tokenizer.
        source: where it came from, for messages.

    Attributes:
        vocabulary_size: number of tokens.
        fingerprint: a number of 63 bits that two tokenizers share if, and only if, they number the same tokens alike.
        truncated: how many texts were cut so far because they had too many tokens; the log says so at the first, the
            tenth, the hundredth of them and so on.

    Raises:
        ValueError: if padding is not token 0.
    """

    def __init__(self, pieces: Pieces, source: str = "the tokenizer") -> None:
        pieces.no_padding()
        pieces.no_truncation()
        if (pieces.id_to_token(0) or "").lower() not in ("[pad]", "<pad>"):
            raise ValueError(
                f"{source}: token 0 is '{pieces.id_to_token(0)}', expected the padding token; "
                "number the vocabulary so, as BERT's tokenizers do"
            )
        self._pieces = pieces
        self.source = source
        self.truncated = 0
        self.vocabulary_size: int = pieces.get_vocab_size()
        vocabulary = "\n".join(f"{number} {token}" for token, number in sorted(pieces.get_vocab().items()))
        self.fingerprint = int.from_bytes(hashlib.sha256(vocabulary.encode()).digest()[:8], "big") >> 1
        unknown = [pieces.token_to_id(name) for name in ("[UNK]", "<unk>")]
        self._unknown = next((number for number in unknown if number is not None), -1)

    @classmethod
    def from_file(cls, path: str | Path) -> Tokenizer:
        """Read a ``tokenizer.json``.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is none of the library's files, or padding is not token 0.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"tokenizer file {path} does not exist; expected a tokenizer.json, made by "
                f"`python -m scripts.tokenizer --out {path}` or kept beside a model's weights in models/text/"
            )
        try:
            pieces = Pieces.from_file(str(path))
        except Exception as error:  # the library raises bare exceptions
            raise ValueError(f"{path} is not a tokenizer.json ({error}); copy it again or train a new one") from None
        return cls(pieces, str(path))

    def save(self, path: str | Path) -> None:
        """Write the tokenizer as a ``tokenizer.json``."""
        write_text(path, self._pieces.to_str(pretty=True) + "\n")

    def encode(self, texts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]:
        """Number the tokens of M texts.

        Args:
            texts: sentences, reports or prompts.
            max_tokens: length T of every row; longer texts lose their end, which is logged and counted.

        Returns:
            token (M,T), int64, 0 behind the end, and word (M,T), int64, the number of the word that each token is part
            of, counted from 0, and -1 for special tokens and padding.

        Raises:
            ValueError: if a text has no token that the vocabulary knows, or max_tokens is below 3.
        """
        if isinstance(texts, str):
            raise ValueError(f"expected a list of texts, got the text '{texts[:40]}'; write ['...']")
        if max_tokens < 3:
            raise ValueError(f"max_tokens is {max_tokens}, expected 3 or more: two mark begin and end")
        token = torch.zeros(len(texts), max_tokens, dtype=torch.int64)
        word = torch.full_like(token, -1)
        for row, text in enumerate(texts):
            ids, words = self._encode_one(text, max_tokens)
            token[row, : len(ids)] = torch.tensor(ids)
            word[row, : len(words)] = torch.tensor(words)
        return token, word

    def words(self, text: str) -> list[str]:
        """Return the words of a text as they are numbered by :meth:`encode`."""
        plain = normalise(text)
        encoding = self._pieces.encode(plain)
        spans: dict[int, tuple[int, int]] = {}
        for number, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
            if number is not None:
                spans[number] = (spans.get(number, (start, end))[0], end)
        return [plain[start:end] for _, (start, end) in sorted(spans.items())]

    def _encode_one(self, text: str, max_tokens: int) -> tuple[list[int], list[int]]:
        """Return token numbers and word numbers of one text, at most max_tokens of each."""
        encoding = self._pieces.encode(normalise(text))
        ids = list(encoding.ids)
        words = [-1 if number is None else number for number in encoding.word_ids]
        if all(number < 0 or index == self._unknown for index, number in zip(ids, words, strict=True)):
            raise ValueError(
                f"the text {text[:60]!r} yields no token that {self.source} knows; expected words in Latin letters"
            )
        if len(ids) > max_tokens:
            self._count_truncated(text, len(ids), max_tokens)
            end = 1 if words[-1] < 0 else 0  # the end mark stays
            ids = ids[: max_tokens - end] + ids[len(ids) - end :]
            words = words[: max_tokens - end] + words[len(words) - end :]
        return ids, words

    def _count_truncated(self, text: str, length: int, max_tokens: int) -> None:
        self.truncated += 1
        if re.fullmatch("10*", str(self.truncated)):
            _logger.warning(
                "%d text(s) so far had more than %d tokens and lost their end; this one has %d: '%s…'. "
                "Raise max_tokens if that matters",
                self.truncated,
                max_tokens,
                length,
                text[:40],
            )


def train_tokenizer(texts: Iterable[str], size: int = 1500) -> Tokenizer:
    """Make a WordPiece vocabulary: frequent words whole, and pieces that spell the others.

    The words of :data:`common.text.lexicon.TERMS`, the ASCII letters, digits and punctuation are always in it, so that
    clinical words stay whole and every other word can be spelt. Then come words seen at least twice, the most frequent
    first, and, in a fifth of what room is left, the parts that save most letters. Unlike the library's own trainer it
    breaks ties by the alphabet: equal texts give an equal tokenizer.

    Args:
        texts: reports, sentences or prompts of the kind it will meet.
        size: number of tokens at most.

    Returns:
        The tokenizer: numbers with decimals are one word, punctuation marks are words of their own.

    Raises:
        ValueError: if the size does not hold the lexicon and the alphabet.
    """
    counts = Counter(word for text in texts for word in _words_of(text))
    alphabet = {*_ALONE, *_CONTINUING, *(f"##{character}" for character in _CONTINUING)}
    terms = {word for term in TERMS for word in _words_of(term)}
    room = size - len(SPECIAL) - len(alphabet | terms)
    if room < 0:
        raise ValueError(f"size is {size}, expected at least {size - room}: the lexicon and the alphabet")
    seen = sorted(word for word, count in counts.items() if count >= _SEEN and word not in alphabet | terms)
    words = {*terms, *sorted(seen, key=lambda word: -counts[word])[: room - room // 5]}
    kept = alphabet | words
    pieces = {piece: saved for piece, saved in _common_pieces(words).items() if piece not in kept}
    kept.update(sorted(pieces, key=lambda piece: (-pieces[piece], piece))[: size - len(SPECIAL) - len(kept)])
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *sorted(kept)])}
    return Tokenizer(_word_piece(vocabulary), "the new tokenizer")


def _words_of(text: str) -> list[str]:
    """Return the words of a text; longer numbers, of which there is no end, count as 0."""
    return re.findall(_WORD, re.sub(r"\d+\.\d+|\d{2,}", "0", normalise(text)))


def _common_pieces(words: Iterable[str]) -> Counter[str]:
    """Count the letters that beginnings and other parts of words, 2 to 8 letters long, save in spelling."""
    saved: Counter[str] = Counter()
    for word in words:
        for start in range(len(word)):
            for end in range(start + 2, min(len(word), start + 8) + 1):
                saved[("##" if start else "") + word[start:end]] += end - start - 1
    return Counter({piece: count for piece, count in saved.items() if count >= _SEEN * len(piece)})


def _word_piece(vocabulary: dict[str, int]) -> Pieces:
    pieces = Pieces(models.WordPiece(vocabulary, unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True)
    pieces.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    )
    return pieces
