"""Benchmarks compare equals: what is timed as slow and as fast computes the same. Durations are not tested."""

import copy
import importlib
import math

import pytest
import torch
import torch.nn.functional as F

from benchmarks import co_attention as co_attention_benchmark
from benchmarks import data_loading, gates, prototypes, training_step
from benchmarks._timing import in_turns, quartiles
from common.layers import co_attention
from common.losses import ExplainerClassifierLoss, affine_consistency
from common.utils.benchmark import find_benchmarks

#: Every benchmark, the settings that make it tiny, and how far slow and fast may differ.
BENCHMARKS = {
    "aopc": ({"SIZE": 64, "PATCH": 16, "STEPS": 2}, 1e-5),
    "co_attention": ({"BATCH": 2, "CHANNELS": 8, "MAP": (3, 4), "PROTOTYPES": 5}, 1e-4),
    "data_loading": ({"SIZE": 32, "SOURCE_SIZE": 192, "CASES": 4, "BATCH": 2, "REREAD": 1}, 0.0),
    "gates": ({"SIZE": 32, "BATCH": 2, "ROUNDS": 2}, 0.0),
    "local_contrast": (
        {
            "BATCH": 3,
            "REGIONS": 12,
            "WORDS": 4,
            "CHANNELS": 8,
            "EXAMS": 2,
            "VIEWS": 2,
            "EXAM_REGIONS": 20,
            "EXAM_WORDS": 3,
        },
        1e-4,
    ),
    "pair_step": ({"SIZE": 64, "PAIRS": 2, "PROTOTYPES": 2, "CHANNELS": 8}, 1e-5),
    "projection": (
        {"BACKBONE": "small", "CHANNELS": 8, "PROTOTYPES": 8, "IMAGES": 6, "IMAGE": (64, 32), "BATCH": 3},
        1e-5,
    ),
    "prototypes": (
        {
            "BACKBONE": "small",
            "CHANNELS": 8,
            "MAP": (6, 3),
            "PROTOTYPES": 4,
            "IMAGE": (64, 32),
            "CASES": 8,
            "STRIDE": 4,
        },
        1e-5,
    ),
    "training_step": ({"SIZE": 64, "BATCH": 2}, 0.01),  # the untouched explainer's map is only about constant
    "uml_step": ({"SIZE": 64}, 1e-9),
    "word_joining": ({"TEXTS": 2, "TOKENS": 9, "WIDTH": 5}, 1e-5),
}
SLOW = ("local_contrast", "uml_step")  # measure memory in processes of their own


def test_every_benchmark_is_tested(repository):
    assert [file.stem for file in find_benchmarks(repository / "benchmarks")] == sorted(BENCHMARKS)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in BENCHMARKS])
def test_a_benchmark_reports_times_that_fit_its_ratio_and_equal_results(name, monkeypatch):
    module = importlib.import_module(f"benchmarks.{name}")
    settings, tolerance = BENCHMARKS[name]
    for key, value in settings.items():
        monkeypatch.setattr(module, key, value)
    threads = torch.get_num_threads()
    result = module.run(repeats=1, threads=1)
    assert torch.get_num_threads() == threads
    assert (result["name"], result["repeats"], result["threads"]) == (name, 1, 1)
    assert result["ratio"] == pytest.approx(result["slow_s"] / result["fast_s"])
    assert 0 <= result["max_difference"] <= tolerance
    numbers = [value for value in result.values() if isinstance(value, int | float)]
    assert all(math.isfinite(value) and value >= 0 for value in numbers)


def test_the_first_stage_learns_the_same_without_running_a_constant_explainer():
    network = training_step.make_network(train_explainer=False)
    head = next(m for m in reversed(list(network.explainer.modules())) if isinstance(m, torch.nn.Conv2d))
    assert head.out_channels == 1
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    batch = training_step.make_batch(2, 64)
    obvious = training_step.Training(network, 1.0, "explain")
    ours = training_step.Training(network, 1.0, "explain_constant")
    losses = [(obvious.step(batch), ours.step(batch)) for _ in range(2)]
    assert losses[0][0] != losses[1][0]
    for slow, fast in losses:
        assert slow == pytest.approx(fast, abs=1e-5)
    for name, value in obvious.network.state_dict().items():
        torch.testing.assert_close(value, ours.network.state_dict()[name], atol=1e-5, rtol=1e-4, msg=name)


def test_the_published_joint_step_has_our_loss_and_gradients():
    network = training_step.make_network(train_explainer=True).double()
    batch = training_step.make_batch(2, 64)
    batch["image"] = batch["image"].double()
    published = training_step.Training(network, training_step.ALPHA, "published")
    ours = training_step.Training(network, training_step.ALPHA, "explain")
    assert published.step(batch) == pytest.approx(ours.step(batch), abs=1e-9)
    for (name, slow), fast in zip(published.network.named_parameters(), ours.network.parameters(), strict=True):
        assert fast.grad.abs().max() > 0 or name.endswith("bias"), name
        torch.testing.assert_close(slow.grad, fast.grad, atol=1e-9, rtol=1e-6, msg=name)


def test_the_looped_loss_is_the_pencil_value():
    explanation = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]], [[[0.5, 0.5], [0.5, 0.5]]]])
    loss = training_step.published_loss(torch.zeros(2, 2), torch.tensor([0, 1]), explanation)
    # mean 1/4, differences 1/2 + 1/2; mean 1/2, no differences
    explained = (0.9 * 0.25 + 0.1 * 1.0 + 0.9 * 0.5) / 2
    assert loss.item() == pytest.approx(0.9 * math.log(2) + 0.1 * explained)


def test_gates_of_ones_change_neither_logits_nor_gradients():
    plain, gated = gates.make_pair()
    image, label = torch.rand(2, 3, 64, 64), torch.tensor([0, 1])
    explanation = torch.ones(2, 1, 64, 64, requires_grad=True)
    loss = ExplainerClassifierLoss(1.0)
    assert torch.equal(gates.plain_pass(plain, image, label), gates.gated_pass(gated, loss, image, label, explanation))
    assert explanation.grad.abs().max() > 0
    for (name, expected), actual in zip(plain.named_parameters(), gated.parameters(), strict=True):
        torch.testing.assert_close(actual.grad, expected.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_a_pass_starts_from_no_gradients():
    plain, gated = gates.make_pair()
    image, label, explanation = torch.rand(2, 3, 32, 32), torch.tensor([0, 1]), torch.ones(2, 1, 32, 32)
    explanation.requires_grad_()
    loss = ExplainerClassifierLoss(1.0)
    other = copy.deepcopy(gated)
    F.cross_entropy(other(image, explanation.detach()), label).backward()
    for _ in range(2):
        gates.gated_pass(gated, loss, image, label, explanation)
        gates.plain_pass(plain, image, label)
    torch.testing.assert_close(gated.fc.bias.grad, other.fc.bias.grad)
    torch.testing.assert_close(plain.fc.bias.grad, other.fc.bias.grad)


@pytest.fixture
def cases(tmp_path, monkeypatch):
    for key, value in BENCHMARKS["data_loading"][0].items():
        monkeypatch.setattr(data_loading, key, value)
    return data_loading.write_cases(tmp_path / "shapes")


def test_all_setups_deliver_every_case_in_order_as_often_as_asked(cases):
    datasets = {cached: data_loading.make_dataset(cases, cached) for cached in (True, False)}
    expected = [case["case_id"] for case in cases] * 2
    for name, loader in data_loading.make_loaders(datasets, rounds=2).items():
        batches = list(loader)
        assert [case_id for batch in batches for case_id in batch["case_id"]] == expected, name
        assert {tuple(batch["image"].shape) for batch in batches} == {(2, 3, 32, 32)}


def test_files_and_cache_deliver_the_same_augmented_images(cases):
    files, cache = (data_loading.first_batch(data_loading.make_dataset(cases, cached)) for cached in (False, True))
    for key in ("image", "mask"):
        assert torch.equal(files[key], cache[key])
    assert 0 <= files["image"].min() < files["image"].max() <= 1.5


def test_the_parts_of_loading_are_those_of_train_json(cases):
    parts = data_loading.time_parts(cases)
    assert set(parts) == {"decode", "mask", "resize", "augment", "collate", "checks"}
    assert all(value > 0 for value in parts.values())


def test_waiting_is_the_time_spent_in_the_loader_and_not_in_the_step(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(data_loading.time, "perf_counter", lambda: clock[0])

    def advance(seconds):
        clock[0] += seconds

    def loader():
        for _ in range(3):
            advance(2.0)
            yield {}

    waiting = data_loading.wait_while_training(loader(), lambda batch: advance(5.0))
    assert (waiting.waited, waiting.wall) == (6.0, 21.0)


def test_the_affine_term_at_full_resolution_is_close_to_that_on_the_maps():
    rows, columns = torch.meshgrid(torch.linspace(0, 3, 12), torch.linspace(0, 2, 6), indexing="ij")
    moved, original = (torch.sin(rows * pace + columns)[None, None] for pace in (1.0, 0.6))
    affine = torch.tensor([[[1.0, 0.05, 0.1], [-0.05, 1.0, 0.0]]])
    slow = prototypes.full_resolution(moved, original, affine)
    assert slow.item() > 0.01
    torch.testing.assert_close(slow, affine_consistency(moved, original, affine), rtol=0.1, atol=0)


def test_tasks_run_in_turns_there_and_back():
    order = []
    seconds = in_turns(2, a=lambda: order.append("a"), b=lambda: order.append("b"))
    assert "".join(order) == "ab" + "ab" + "ba"
    assert [len(runs) for runs in (seconds.wall["a"], seconds.cpu["b"])] == [2, 2]


def test_quartiles_of_five_numbers():
    assert quartiles([5.0, 1.0, 4.0, 2.0, 3.0]) == (2.0, 3.0, 4.0)


def test_one_product_keeps_as_much_as_there_are_pairs_of_places():
    """Twice the channels double what the differences keep; of the product only the maps themselves grow."""
    kept = {}
    for channels in (64, 128):
        first, second = torch.rand(2, 1, channels, 8, 8)
        for form in (co_attention_benchmark.explicit_differences, co_attention):
            kept[form, channels] = co_attention_benchmark.kept_mib(form, first, second)
    slow, fast = (
        kept[form, 128] - kept[form, 64] for form in (co_attention_benchmark.explicit_differences, co_attention)
    )
    assert slow > 64 * 64 * 64 * 4 / 2**20
    assert 0 < fast < 0.2 * slow
