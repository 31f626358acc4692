"""The loader: bad cases are named, skipped only on request, and never silently."""

import pickle

import pytest
import torch
from monai.data import CacheDataset, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, EnsureChannelFirstd, Lambdad, LoadImaged, RandLambdad, Resized, SelectItemsd

from common.data import CaseCacheDataset, CaseError, CaseLoader, CheckImaged, case_error_in


@pytest.fixture
def cases(picture):
    """Six cases, of which number 2 is cut short and number 5 has disappeared."""
    items = [{"image": str(picture(f"{i}.png", seed=i)), "case_id": f"c{i}", "label": i % 2} for i in range(6)]
    damaged = picture("2.png")
    damaged.write_bytes(damaged.read_bytes()[:500])
    picture("5.png").unlink()
    return items


def transforms(*more):
    load = LoadImaged("image", reader="common.data.ImageReader2D")
    return Compose([load, EnsureChannelFirstd("image"), CheckImaged("image"), Resized("image", (8, 8)), *more])


DATASETS = {
    "Dataset": Dataset,
    "CaseCacheDataset": lambda data, transform: CaseCacheDataset(data, transform, progress=False),
}
every_way = pytest.mark.parametrize(
    ("dataset", "workers"),
    [("Dataset", 0), ("Dataset", 2), ("CaseCacheDataset", 0)],
    ids=["plain", "two workers", "cached"],
)


@every_way
def test_skipping_reports_each_bad_case_once(cases, dataset, workers, caplog):
    data = DATASETS[dataset](cases, transforms())
    loader = CaseLoader(data, on_error="skip", batch_size=2, num_workers=workers)
    for _ in range(2):
        batches = list(loader)
        assert [batch["case_id"] for batch in batches] == [["c0", "c1"], ["c3"], ["c4"]]
        assert [tuple(batch["image"].shape) for batch in batches] == [(2, 1, 8, 8), (1, 1, 8, 8), (1, 1, 8, 8)]
        assert batches[0]["label"].tolist() == [0, 1]
    assert [failure.case_id for failure in loader.failures] == ["c2", "c5"]
    assert [record.message.split(":")[0] for record in caplog.records if record.name == "common.data.loader"] == [
        "skipped"
    ] * 2
    assert "skipped: case 'c2'" in caplog.text


@every_way
def test_raising_names_case_file_and_remedy(cases, dataset, workers):
    loader = CaseLoader(DATASETS[dataset](cases, transforms()), batch_size=2, num_workers=workers)
    with pytest.raises(CaseError) as caught:
        list(loader)
    assert caught.value.case_id == "c2"
    assert caught.value.source == cases[2]["image"]
    assert str(caught.value).startswith(f"case 'c2' ({cases[2]['image']}): the image file is damaged, cut short")
    assert "\n" not in str(caught.value)
    assert loader.failures == []


def test_a_batch_of_nothing_but_bad_cases_is_not_delivered(cases):
    loader = CaseLoader(Dataset([cases[2], cases[5], cases[0]], transforms()), on_error="skip", batch_size=2)
    assert [batch["case_id"] for batch in loader] == [["c0"]]


def test_engines_see_every_good_case_once(cases):
    """With a wrong length the engine would begin again at the first case to fill up the epoch."""
    seen = []
    loader = CaseLoader(Dataset(cases, transforms()), on_error="skip", batch_size=1)
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        network=torch.nn.Flatten(),
        iteration_update=lambda engine, batch: seen.extend(batch["case_id"]) or batch,
    )
    for _ in range(2):
        evaluator.run()
    assert seen == ["c0", "c1", "c3", "c4"] * 2


def test_length_is_known_unless_cases_may_be_skipped(cases):
    data = Dataset(cases, transforms())
    assert len(CaseLoader(data, batch_size=4)) == 2
    with pytest.raises(TypeError, match="unknown while bad cases may be skipped"):
        len(CaseLoader(data, batch_size=4, on_error="skip"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_of_the_program_is_never_skipped(cases, workers):
    def fault(_):
        raise TypeError("a programming error")

    loader = CaseLoader(Dataset(cases[:1], transforms(Lambdad("label", fault))), on_error="skip", num_workers=workers)
    with pytest.raises(RuntimeError) as caught:
        list(loader)
    story = "".join(getattr(caught.value, "__notes__", [])) + str(caught.value)
    assert "while loading the case 'c0'" in story
    assert loader.failures == []


def test_monais_datasets_name_the_file_too(cases):
    with pytest.raises(RuntimeError) as caught:
        CacheDataset(cases, transforms(), cache_num=0)[2]
    assert case_error_in(caught.value).source == cases[2]["image"]


def test_the_cache_runs_random_transforms_on_good_cases_only(cases):
    steps = transforms(RandLambdad("image", func=lambda image: image * 0, prob=1.0))
    data = CaseCacheDataset(cases, steps, progress=False)
    assert data[0]["image"].sum() == 0
    with pytest.raises(CaseError, match="case 'c2'"):
        data[2]


def test_cached_and_plain_data_agree(cases):
    good = [cases[0], cases[1], cases[3]]
    plain, cached = (list(CaseLoader(make(good, transforms()), batch_size=3)) for make in DATASETS.values())
    assert torch.equal(plain[0]["image"], cached[0]["image"])


def test_cases_with_different_keys_cannot_share_a_batch(cases):
    mixed = [cases[0], cases[1] | {"patient_id": "p"}]
    with pytest.raises(ValueError, match="cases 'c0' and 'c1' cannot be in one batch: only one of them has patient_id"):
        list(CaseLoader(Dataset(mixed, transforms()), batch_size=2))
    same = transforms(SelectItemsd(["image", "case_id"]))
    assert next(iter(CaseLoader(Dataset(mixed, same), batch_size=2)))["case_id"] == ["c0", "c1"]


def test_grey_and_colour_files_share_a_batch_once_they_have_the_same_channels(picture):
    from common.data import ToChannelsd

    items = [
        {"image": str(picture("g.png")), "case_id": "g"},
        {"image": str(picture("c.png", mode="RGB")), "case_id": "c"},
    ]
    batch = next(iter(CaseLoader(Dataset(items, transforms(ToChannelsd("image", 3))), batch_size=2)))
    assert batch["image"].shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ([1], {"on_error": "ignore"}, "on_error is 'ignore', expected 'raise' or 'skip'"),
        ([], {}, "the dataset has no cases"),
    ],
)
def test_impossible_options(data, options, words):
    with pytest.raises(ValueError, match=words):
        CaseLoader(Dataset(data), **options)


def test_errors_travel_between_processes_whole():
    error = CaseError("a.png", "it is broken", "Mend it", "c1")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == "case 'c1' (a.png): it is broken. Mend it"
    assert (copy.case_id, copy.source, copy.what, copy.remedy) == ("c1", "a.png", "it is broken", "Mend it")
    assert error.named("other").case_id == "c1"
    assert CaseError("a.png", "x", "y").named("c2").case_id == "c2"
