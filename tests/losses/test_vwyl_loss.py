"""The loss of exams and reports: published and site-level forms against loops, and what must not matter."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from common.losses import VWYLLoss, double_softmax_scores

E, V, N, W, D, H = 3, 4, 3, 2, 5, 2
SIDE = (0, 0, 1, 1)


def unit(*shape: int, generator: torch.Generator) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def outputs_of(seed: int = 0) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    sentence_mask = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    word_mask = sentence_mask.unsqueeze(2).repeat(1, 1, W)
    word_mask[0, 0, 1] = False
    sentence = unit(E, N, D, generator=g)
    scale = torch.tensor(10.0, dtype=torch.float64)
    return {
        "view_vector": unit(E, V, D, generator=g),
        "side_vector": unit(E, 2, D, generator=g),
        "exam_vector": unit(E, D, generator=g),
        "region": unit(E, V, H, H, D, generator=g).movedim(4, 2),
        "region_mask": torch.ones(E, V, H, H, dtype=torch.bool),
        "view_mask": torch.ones(E, V, dtype=torch.bool),
        "sentence": sentence,
        "sentence_local": unit(E, N, D, generator=g),
        "sentence_mask": sentence_mask,
        "word_vector": torch.randn(E, N, W, D, generator=g, dtype=torch.float64),
        "word_mask": word_mask,
        "report_vector": F.normalize((sentence * sentence_mask.unsqueeze(2)).sum(1), dim=1),
        "scale_global": scale,
        "scale_local": scale,
        "sharpness": scale,
        "transmission": torch.rand(E, V, 16, 16, generator=g, dtype=torch.float64),
        "region_transmission": torch.rand(E, V, H, H, generator=g, dtype=torch.float64),
        "enhanced": torch.rand(E, V, 16, 16, generator=g, dtype=torch.float64),
    }


def batch_of() -> dict[str, Any]:
    """Sentences 0:(left 1, right 2, both 3), 1:(left 1, right 4), 2:(right 2)."""
    return {
        "image": torch.rand(E, V, 1, 16, 16, generator=torch.Generator().manual_seed(9)),
        "text_key": torch.tensor([[1, 2, 3], [1, 4, -1], [2, -1, -1]]),
        "sentence_side": torch.tensor([[0, 1, -1], [0, 1, -1], [1, -1, -1]]),
        "sentence_finding": torch.tensor([[1, 0, -1], [0, 1, -1], [0, -1, -1]]),
        "label": torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]]),
    }


def cross_entropy(logits: list[Tensor], right: list[bool]) -> Tensor:
    log = torch.stack(logits).log_softmax(0)
    return -sum(value for value, one in zip(log, right, strict=True) if one) / sum(right)


def both_ways(scores: Tensor, right: Any, allowed: Any) -> Tensor:
    """Mean cross entropy of rows plus that of columns, entry by entry."""
    total = 0.0
    for matrix, is_right, is_allowed in (
        (scores, right, allowed),
        (scores.T, lambda i, j: right(j, i), lambda i, j: allowed(j, i)),
    ):
        rows = []
        for i, row in enumerate(matrix):
            columns = [j for j in range(len(row)) if is_allowed(i, j)]
            answer = [is_right(i, j) for j in columns]
            if any(answer):
                rows.append(cross_entropy([row[j] for j in columns], answer))
        total = total + torch.stack(rows).mean()
    return total


PRESENT = [True, True, True, False, True, True]  # the right breast of the second exam has no view


def without_a_breast(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    outputs["view_mask"][1, 2:] = False
    outputs["region_mask"][1, 2:] = False
    return outputs


@pytest.mark.parametrize("targets", ["own", "text"])
@pytest.mark.parametrize("family", ["global", "local"])
def test_sides_against_loops(family, targets):
    outputs, batch = without_a_breast(outputs_of()), batch_of()
    texts = [(e, n) for e in range(E) for n in range(N) if outputs["sentence_mask"][e, n]]
    side = [int(batch["sentence_side"][t]) for t in texts]
    key = [int(batch["text_key"][t]) for t in texts]
    sites = [(e, s) for e in range(E) for s in range(2)]
    owner = [
        [e == f and s in (t, -1) and PRESENT[c] for c, (f, t) in enumerate(sites)]
        for (e, _), s in zip(texts, side, strict=True)
    ]
    scores = torch.zeros(len(texts), len(sites), dtype=torch.float64)
    for m, (e, n) in enumerate(texts):
        for c, (f, s) in enumerate(sites):
            if family == "global":
                scores[m, c] = 10 * outputs["sentence"][e, n] @ outputs["side_vector"][f, s]
            else:
                cosine = outputs["sentence_local"][e, n] @ outputs["region"][f, 2 * s : 2 * s + 2].movedim(
                    1, 0
                ).flatten(1)
                scores[m, c] = 10 * (cosine * (10 * cosine).softmax(0)).sum()

    def said(c: int) -> set[int]:
        return {key[m] for m in range(len(texts)) if owner[m][c]}

    def told(m: int, c: int) -> bool:
        return key[m] in said(c) if targets == "text" else owner[m][c]

    def comparable(m: int, c: int) -> bool:
        return PRESENT[c] and (family == "global" or side[m] in (-1, sites[c][1]))

    sentences = both_ways(scores, told, comparable)
    reports = torch.zeros(6, 6, dtype=torch.float64)
    for r in range(6):
        own = [m for m in range(len(texts)) if owner[m][r]]
        reports[r] = scores[own].mean(0) if own else 0.0
    by_report = both_ways(
        reports,
        lambda r, c: said(r) == said(c) if targets == "text" else r == c,
        lambda r, c: bool(said(r)) and PRESENT[c] and (family == "global" or sites[r][1] == sites[c][1]),
    )
    loss = VWYLLoss(SIDE, targets=targets, ranking_weight=0, view_weight=0)
    terms = loss.terms(outputs, batch)
    assert list(terms) == ["global", "local"]
    torch.testing.assert_close(terms[family].mean(), (sentences + by_report) / 2)


@pytest.mark.parametrize("pooling", ["mean", "max", "fused"])
def test_published_form_against_loops(pooling):
    """One report per exam; similarities of views are averaged over the exam's (or the best counts)."""
    outputs = outputs_of()
    outputs["view_mask"][2, 1] = False
    loss = VWYLLoss(SIDE, level="exam", caption="report", targets="own", local="double_softmax", pooling=pooling)
    terms = loss.terms(outputs, batch_of())
    word, mask = outputs["word_vector"].flatten(1, 2), outputs["word_mask"].flatten(1)
    views = [[v for v in range(V) if outputs["view_mask"][e, v]] for e in range(E)]
    pool = torch.max if pooling == "max" else torch.mean
    matrices = {"global": torch.zeros(E, E, dtype=torch.float64), "local": torch.zeros(E, E, dtype=torch.float64)}
    for e in range(E):
        local = double_softmax_scores(outputs["region"][e].flatten(2), word, mask)
        for f in range(E):
            cosines = outputs["view_vector"][e, views[e]] @ outputs["report_vector"][f]
            fused = outputs["exam_vector"][e] @ outputs["report_vector"][f]
            matrices["global"][f, e] = 10 * (fused if pooling == "fused" else pool(cosines))
            matrices["local"][f, e] = 10 * pool(local[views[e], f])
    own = torch.arange(E)
    for name, scores in matrices.items():
        expected = F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)
        torch.testing.assert_close(terms[name].mean(), expected)
    assert terms["ranking"].shape == terms["view"].shape == (E,)


@pytest.mark.parametrize("local", ["sentence", "cosine", "double_softmax"])
@pytest.mark.parametrize("level", ["side", "exam"])
def test_all_forms_have_finite_gradients_and_do_not_see_padding_or_order(level, local):
    options = {"view_side": SIDE, "level": level, "local": local, "ranking_weight": 1.0, "view_weight": 1.0}
    loss, outputs, batch = VWYLLoss(**options), without_a_breast(outputs_of()), batch_of()
    leaves = {
        n: v.requires_grad_() for n, v in outputs.items() if (v.is_floating_point() and "vector" in n) or n == "region"
    }
    value = loss.reduce(loss.terms(outputs, batch))["loss"]
    for gradient in torch.autograd.grad(value, list(leaves.values()), allow_unused=True):
        assert gradient is None or torch.isfinite(gradient).all()
    changed = {name: values.detach().clone() for name, values in outputs.items()}
    for name in ("sentence", "sentence_local", "word_vector"):
        changed[name][~changed["sentence_mask"]] = 3.0
    for name in ("view_vector", "region"):
        changed[name][~changed["view_mask"]] = 3.0
    changed["side_vector"][1, 1] = 3.0
    order = torch.tensor([2, 0, 1])
    changed = {name: values[order] if values.ndim else values for name, values in changed.items()}
    moved = {name: values[order] for name, values in batch.items()}
    for name, expected in loss.terms(outputs, batch).items():
        torch.testing.assert_close(loss.terms(changed, moved)[name], expected[order], msg=name)


def test_a_perfect_answer_costs_almost_nothing_and_swapped_reports_much():
    outputs, batch = outputs_of(), batch_of()
    outputs["sentence_mask"] = torch.tensor([[True, True, False]] * E)
    batch["text_key"], batch["sentence_side"] = torch.arange(9).view(3, 3), torch.tensor([[0, 1, -1]] * E)
    eye = torch.eye(6, dtype=torch.float64).view(E, 2, 6)
    outputs["side_vector"] = eye
    outputs["sentence"] = outputs["sentence_local"] = F.pad(eye, (0, 0, 0, 1))
    outputs["region"] = eye.repeat_interleave(2, 1)[..., None, None].expand(E, V, 6, H, H)
    loss = VWYLLoss(SIDE, ranking_weight=0, view_weight=0)
    terms = loss.terms(outputs, batch)
    assert max(value.max().item() for value in terms.values()) < 1e-3
    outputs["sentence"] = outputs["sentence"].roll(1, 0)
    assert loss.terms(outputs, batch)["global"].min() > 5


def test_ranking_by_label_and_by_text_differ_as_their_counts():
    outputs, batch = outputs_of(), batch_of()
    options: dict[str, Any] = {"view_side": SIDE, "local_weight": 0, "ranking_weight": 1, "view_weight": 0}
    by_text, by_label = (
        VWYLLoss(**options, ranking_by=name).terms(outputs, batch)["ranking"] for name in ("text", "label")
    )
    assert (by_text.mean() - by_label.mean()).abs() > 1e-3
    one = dict(batch, label=torch.ones(E, 4))  # all have the same in common
    assert VWYLLoss(**options, ranking_by="label").terms(outputs, one)["ranking"].tolist() == [0.0] * E


def test_visual_terms():
    outputs, batch = without_a_breast(outputs_of()), batch_of()
    weights = dict.fromkeys(("sparsity", "outside", "agreement", "normal"), 0.5)
    loss = VWYLLoss(SIDE, 0, 0, 0, 0, visual_weight=2.0, visual=weights)
    terms = loss.terms(outputs, batch)
    mask, clear = outputs["view_mask"], outputs["transmission"]
    image = batch["image"][:, :, 0].double()
    error = (clear * outputs["enhanced"] + 1 - clear - image).square().mean((2, 3))
    torch.testing.assert_close(terms["reconstruction"].mean(), error[mask].mean())
    breast = (image > 30 / 255) & mask[..., None, None]
    inside = ((1 - clear) * breast).sum((2, 3)) / breast.sum((2, 3)).clamp(min=1)
    torch.testing.assert_close(terms["sparsity"].mean(), inside[mask].mean())
    # sides: 0 left named, 0 right denied, 1 left denied, 1 right named but absent, 2 right denied
    quiet = torch.stack([inside[0, 2:].mean(), inside[1, :2].mean(), inside[2, 2:].mean()])
    torch.testing.assert_close(terms["normal"].mean(), quiet.mean())
    regions = outputs["region"][0, :2].movedim(1, 0).flatten(1)
    attention = (10 * outputs["sentence_local"][0, 0] @ regions).softmax(0)
    abnormal = 1 - outputs["region_transmission"][0, :2]
    expected = 1 - F.cosine_similarity(abnormal.flatten(), attention, dim=0)
    torch.testing.assert_close(terms["agreement"], torch.stack([E * expected, expected * 0, expected * 0]))
    reduced = loss.reduce(terms)
    parts = {"reconstruction": 1.0, "smoothness": 0.005, **weights}
    torch.testing.assert_close(reduced["loss"], 2 * sum(w * terms[name].mean() for name, w in parts.items()))


def test_single_exams_and_exams_without_sentences_do_no_harm():
    outputs, batch = outputs_of(), batch_of()
    one = {name: values[:1] if values.ndim else values for name, values in outputs.items()}
    value = VWYLLoss(SIDE).terms(one, {name: values[:1] for name, values in batch.items()})
    assert all(torch.isfinite(values).all() for values in value.values())
    outputs["sentence_mask"][:] = False
    outputs["sentence"].requires_grad_()
    loss = VWYLLoss(SIDE)
    silent = loss.reduce(loss.terms(outputs, batch))
    assert silent["global"].item() == silent["local"].item() == silent["ranking"].item() == 0.0
    silent["loss"].backward()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "breast"}, "level is 'breast'"),
        ({"local": "softmax"}, "local is 'softmax'"),
        ({"caption": "report"}, "set level to 'exam'"),
        ({"view_weight": -1}, "the weight of 'view' is -1"),
        ({"visual": {"smooth": 1.0}}, "did you mean 'smoothness'"),
        ({"visual": {"normal": -1.0}}, "the weight of 'normal' is -1.0"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        VWYLLoss(SIDE, **options)


@pytest.mark.parametrize(
    ("options", "lacks", "message"),
    [
        ({}, "text_key", "set targets to 'own'"),
        ({}, "sentence_side", "tell the side of each sentence"),
        ({}, "side_vector", "the network's method 'match'"),
        ({"local": "cosine"}, "word_vector", "let it return words"),
        ({"ranking_by": "label"}, "label", "set ranking_by to 'text'"),
        ({"visual_weight": 1.0}, "transmission", "give the network a decoder"),
        ({"visual_weight": 1.0, "visual": {"normal": 1.0}}, "sentence_finding", "'agreement' and 'normal' to 0"),
    ],
)
def test_what_is_missing_is_named(options, lacks, message):
    outputs = {name: value for name, value in outputs_of().items() if name != lacks}
    batch = {name: value for name, value in batch_of().items() if name != lacks}
    with pytest.raises(ValueError, match=message):
        VWYLLoss(SIDE, **options).terms(outputs, batch)


def test_view_side_must_fit_the_views():
    with pytest.raises(ValueError, match="view_side has 2 entries, but the batch has 4 views"):
        VWYLLoss((0, 0)).terms(outputs_of(), batch_of())
