"""Which place becomes which prototype: published choices, a complete table as the second opinion, and the rules."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from common.explain.projection import (
    Assignment,
    Candidates,
    NearestSources,
    assign_greedy,
    assign_optimal,
    direct_distance,
    membership,
    nearest_by_key,
)
from common.layers import class_map_of, squared_distance

INF = torch.inf

#: group I of the golden numbers (sendyma/Medical-XAI): nearest place of each image for ten prototypes, five a class.
INTERNRL_LABELS = [0, 1, 0, 0, 1, 0, 1, 0, 0]
INTERNRL = [  # images of the own class, nearest first, with the distances
    ([2, 5, 7, 8, 0, 3], [0.1228, 0.1240, 0.1350, 0.1398, 0.1417, 0.1523]),
    ([3, 0, 7, 5, 8, 2], [0.0570, 0.0633, 0.0649, 0.0693, 0.0835, 0.0945]),
    ([3, 0, 7, 5, 8, 2], [0.1146, 0.1156, 0.1205, 0.1251, 0.1303, 0.1354]),
    ([3, 0, 7, 5, 2, 8], [0.1473, 0.1476, 0.1530, 0.1650, 0.1675, 0.1689]),
    ([7, 3, 0, 5, 2, 8], [0.0910, 0.0980, 0.0984, 0.1036, 0.1041, 0.1127]),
    ([6, 1, 4], [0.0818, 0.0914, 0.1033]),
    ([4, 1, 6], [0.1610, 0.1639, 0.1712]),
    ([1, 6, 4], [0.1228, 0.1374, 0.1406]),
    ([1, 6, 4], [0.0792, 0.0858, 0.0896]),
    ([6, 1, 4], [0.1315, 0.1318, 0.1375]),
]
#: the toy of CIPL's golden numbers, nine images with several labels, two prototypes a class
CIPL_LABELS = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
CIPL = [
    [0.26591, 0.29371, 0.11954, 0.14050, 0.14352, 0.16264],
    [0.17754, 0.21243, 0.17681, 0.43358, 0.24089, 0.22426],
    [0.24328, 0.32545, 0.09666, 0.06069, 0.24875, 0.12449],
    [0.12602, 0.27127, 0.09433, 0.20390, 0.13072, 0.16246],
    [0.16854, 0.32732, 0.20455, 0.05024, 0.14949, 0.02619],
    [0.24964, 0.17057, 0.19282, 0.17275, 0.13451, 0.14069],
    [0.14256, 0.24540, 0.10204, 0.33355, 0.16478, 0.02371],
    [0.13782, 0.02589, 0.15619, 0.34927, 0.15082, 0.09299],
    [0.28115, 0.33660, 0.07121, 0.16115, 0.09074, 0.20619],
]


def table(distance: Tensor, allowed: Tensor) -> Candidates:
    """Every case as a candidate: distances (N,P), and whether each is allowed (N,P)."""
    case = torch.arange(len(distance))[None].expand(distance.shape[1], -1)
    kept = Candidates(
        distance.T.masked_fill(~allowed.T, INF), case.masked_fill(~allowed.T, -1), 10 * case, case[..., None]
    )
    return nearest_by_key([kept], torch.arange(len(distance)), len(distance))


def internrl() -> Candidates:
    distance = torch.full((9, 10), INF)
    for prototype, (images, values) in enumerate(INTERNRL):
        distance[images, prototype] = torch.tensor(values)
    return table(distance, torch.isfinite(distance))


def cipl() -> Candidates:
    member = membership(torch.tensor(CIPL_LABELS, dtype=torch.float32), 3)
    return table(torch.tensor(CIPL), member[:, class_map_of(3, 2)])


def chosen(candidates: Candidates, assignment: Assignment) -> list[int]:
    return candidates.case.gather(1, assignment.column[:, None])[:, 0].tolist()


def total(candidates: Candidates, assignment: Assignment) -> float:
    return candidates.distance.gather(1, assignment.column[:, None]).sum().item()


ONE = torch.zeros(10, dtype=torch.int64)


def test_greedy_choice_is_the_published_one_and_goes_on_where_that_leaves_empty_slots():
    assignment = assign_greedy(internrl(), torch.arange(9), ONE)
    assert chosen(internrl(), assignment) == [2, 3, 0, 7, 5, 6, 4, 1, 1, 6]  # published: -1, -1 in the end
    assert assignment.shared.tolist() == [False] * 8 + [True] * 2


def test_without_uniqueness_everyone_takes_the_nearest():
    assignment = assign_greedy(internrl(), torch.arange(9), torch.arange(10))
    assert chosen(internrl(), assignment) == [2, 3, 3, 3, 7, 6, 4, 1, 1, 6]
    assert not assignment.shared.any()


@pytest.mark.parametrize(
    ("group", "expected"),
    [(torch.zeros(6, dtype=torch.int64), [3, 1, 2, 7, 8, 4]), (torch.arange(6), [3, 1, 3, 2, 8, 4])],
)
def test_with_several_labels_the_choice_is_the_published_one_of_cipl(group, expected):
    assert chosen(cipl(), assign_greedy(cipl(), torch.arange(9), group)) == expected


def test_classes_may_share_what_prototypes_of_one_class_may_not():
    assert chosen(cipl(), assign_greedy(cipl(), torch.arange(9), class_map_of(3, 2))) == [3, 1, 3, 2, 8, 4]


def test_cases_of_one_patient_are_one_source():
    # image 0 belongs to the patient of 3, image 5 to that of 7
    key = torch.tensor([3, 1, 2, 3, 4, 7, 6, 7, 8])
    candidates = nearest_by_key([internrl()], key, 9)
    assert (candidates.case[1] >= 0).sum() == 4
    assert chosen(candidates, assign_greedy(candidates, key, ONE))[:4] == [2, 3, 7, 8]


def test_an_optimal_choice_is_the_best_of_all():
    candidates, key = cipl(), torch.arange(9)
    group = torch.zeros(6, dtype=torch.int64)
    allowed = membership(torch.tensor(CIPL_LABELS), 3)[:, class_map_of(3, 2)].T
    distance = torch.tensor(CIPL).T.masked_fill(~allowed, INF)
    best = min(float(distance[range(6), list(order)].sum()) for order in itertools.permutations(range(9), 6))
    optimal = assign_optimal(candidates, key, group)
    assert total(candidates, optimal) == pytest.approx(best, abs=1e-6)
    assert best < total(candidates, assign_greedy(candidates, key, group)) - 1e-3
    assert len(set(chosen(candidates, optimal))) == 6
    assert not optimal.shared.any()


def test_an_optimal_choice_gives_as_many_as_possible_a_source_of_their_own():
    assignment = assign_optimal(internrl(), torch.arange(9), ONE)
    found = chosen(internrl(), assignment)
    own = [case for case, shared in zip(found, assignment.shared.tolist(), strict=True) if not shared]
    assert len(own) == len(set(own)) == 8
    late = [index for index in range(10) if assignment.shared[index]]
    assert [found[index] for index in late] == [internrl().case[index, 0].item() for index in late]


def case_features(seed: int, cases: int, prototypes: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    feature = torch.randint(0, 4, (cases, 3, 2, 3), generator=generator) / 4.0  # few values: many ties
    return feature, torch.rand(prototypes, 3, generator=generator), torch.rand(cases, 2, generator=generator) < 0.6


def complete_greedy(
    feature: Tensor, vectors: Tensor, member: Tensor, class_map: Tensor, key: Tensor
) -> list[tuple[int, int] | None]:
    """The obvious form: look at every place of every case for each prototype."""
    taken: set[int] = set()
    result: list[tuple[int, int] | None] = []
    for vector, own in zip(vectors, class_map.tolist(), strict=True):
        places = [
            (float((feature[case].flatten(1)[:, cell] - vector).square().sum()), case, cell)
            for case in range(len(feature))
            for cell in range(6)
            if member[case, own]
        ]
        places.sort()
        free = next((place for place in places if int(key[place[1]]) not in taken), None)
        if free is not None:
            taken.add(int(key[free[1]]))
        place = free or (places[0] if places else None)
        result.append(None if place is None else place[1:])
    return result


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_streams_and_shards_give_what_a_complete_table_gives(seed, cases, per_class, batch, patients):
    feature, vectors, member = case_features(seed, cases, 2 * per_class)
    class_map, key = class_map_of(2, per_class), torch.arange(cases) // patients
    shards = [NearestSources(vectors, class_map, "exp_l2", key, 2 * per_class) for _ in range(2)]
    number = torch.randperm(cases, generator=torch.Generator().manual_seed(seed))
    for turn, part in enumerate(number.split(batch)):
        shards[turn % 2].add(feature[part], member[part], part)
    found = [shard.candidates() for shard in shards if shard._found]
    candidates = nearest_by_key(found, key, 2 * per_class)
    assignment = assign_greedy(candidates, key, torch.zeros(2 * per_class, dtype=torch.int64))
    expected = complete_greedy(feature, vectors, member, class_map, key)
    rows = torch.arange(2 * per_class)
    case, cell = candidates.case[rows, assignment.column], candidates.cell[rows, assignment.column]
    for index, place in enumerate(expected):
        if place is None:
            assert case[index] == -1
            continue
        assert (case[index].item(), cell[index].item()) == place
        copied = candidates.vector[index, assignment.column[index]]
        assert torch.equal(copied, feature[case[index]].flatten(1)[:, cell[index]])


@pytest.mark.parametrize("form", ["exp_l2", "cosine"])
def test_a_second_projection_changes_nothing(form):
    generator = torch.Generator().manual_seed(3)
    feature, vectors = torch.rand(12, 16, 4, 5, generator=generator), torch.rand(6, 16, generator=generator)
    member, key = torch.ones(12, 2).bool(), torch.arange(12)
    sources = []
    for _ in range(2):
        nearest = NearestSources(vectors, class_map_of(2, 3), form, key, 6)
        nearest.add(feature, member, key)
        candidates = nearest.candidates()
        rows, column = torch.arange(6), assign_greedy(candidates, key, ONE[:6]).column
        sources.append((candidates.case[rows, column].tolist(), candidates.cell[rows, column].tolist()))
        distance = candidates.distance[rows, column]
        vectors = candidates.vector[rows, column]
    assert sources[0] == sources[1]
    # by differences; the expanded form leaves some 1e-6
    assert distance.max() <= (0.0 if form == "exp_l2" else 1e-12)
    assert len(set(sources[0][0])) == 6


def test_differences_are_exact_where_the_expanded_form_is_not():
    feature = torch.rand(1, 512, 8, 8, generator=torch.Generator().manual_seed(0)) + 4
    vectors = feature[0].flatten(1).T
    expanded = squared_distance(feature, vectors).flatten(2)[0].diagonal()
    assert expanded.max() > 1e-4
    nearest = NearestSources(vectors, torch.zeros(64, dtype=torch.int64), "exp_l2", torch.zeros(1).long(), 1)
    nearest.add(feature, torch.ones(1, 1).bool(), torch.zeros(1).long())
    found = nearest.candidates()
    assert found.distance.max() == 0
    assert found.cell[:, 0].tolist() == list(range(64))


def test_the_cosine_form_compares_directions():
    first, second = torch.tensor([3.0, 4.0]), torch.tensor([4.0, 3.0])
    assert direct_distance(first, second, "exp_l2").item() == 2
    assert direct_distance(first, second, "cosine").item() == pytest.approx(2 - 2 * 24 / 25)
    assert direct_distance(first, 2 * first, "cosine").item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("label", "options", "expected"),
    [
        ([1, 0], {}, [[0, 1, 0], [1, 0, 0]]),
        ([1, 0], {"given": torch.tensor([True, False])}, [[0, 1, 0], [0, 0, 0]]),
        ([[1, 1, 0], [0, 0, 0]], {}, [[1, 1, 0], [0, 0, 0]]),
        ([[1, 1, 0], [0, 0, 0]], {"background": 2}, [[1, 1, 0], [0, 0, 1]]),
        ([[1, 1], [0, 0]], {"background": 2}, [[1, 1, 0], [0, 0, 1]]),
        ([[0, 1, 0], [0, 0, 0]], {"background": 0}, [[0, 1, 0], [1, 0, 0]]),
    ],
)
def test_cases_belong_to_every_class_they_have(label, options, expected):
    assert membership(torch.tensor(label), 3, **options).int().tolist() == expected


def test_a_label_is_not_changed():
    label = torch.tensor([[0, 0, 0]]).bool()
    membership(label, 3, background=2)
    assert not label.any()


@pytest.mark.parametrize(
    ("label", "message"),
    [([3], "labels go from 3 to 3, expected 0 to 2"), ([[1, 0]], r"shape \(1, 2\), expected \(B,\) or \(B, 3\)")],
)
def test_impossible_labels_are_refused(label, message):
    with pytest.raises(ValueError, match=message):
        membership(torch.tensor(label), 3)


def test_a_collector_without_room_or_input_is_refused():
    with pytest.raises(ValueError, match="count is 0"):
        NearestSources(torch.rand(2, 3), class_map_of(2, 1), "exp_l2", torch.arange(4), 0)
    with pytest.raises(ValueError, match="no feature map was added"):
        NearestSources(torch.rand(2, 3), class_map_of(2, 1), "exp_l2", torch.arange(4), 1).candidates()
