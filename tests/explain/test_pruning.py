"""Duplicates leave, their weights stay, and the network says the same."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from common.explain.pruning import find_duplicates, merged_weights, prune_book, prune_prototypes
from common.networks import InterNRL, ProtoPNet
from tests.explain.test_prototype_files import make_book


def test_duplicates_are_equal_vectors_of_one_class():
    vectors = torch.tensor([[0.0, 1.0], [2.0, 2.0], [0.0, 1.0], [0.0, 1.0], [2.0, 2.0]])
    class_map = torch.tensor([0, 0, 0, 1, 1])
    assert find_duplicates(vectors, class_map).tolist() == [0, 1, 0, 3, 4]


def test_near_prototypes_count_up_to_a_distance_and_never_in_chains():
    vectors, class_map = torch.tensor([[0.0], [0.1], [0.2], [0.3]]), torch.zeros(4, dtype=torch.int64)
    assert find_duplicates(vectors, class_map, eps=0.0101).tolist() == [0, 0, 2, 2]
    assert find_duplicates(vectors, class_map, eps=0.009).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="eps is -1"):
        find_duplicates(vectors, class_map, eps=-1)


def test_directions_count_for_the_cosine():
    vectors, class_map = torch.tensor([[1.0, 1.0], [2.0, 2.0]]), torch.zeros(2, dtype=torch.int64)
    assert find_duplicates(vectors, class_map, "cosine", eps=1e-12).tolist() == [0, 0]
    assert find_duplicates(vectors, class_map, "exp_l2", eps=1e-12).tolist() == [0, 1]


def test_weights_of_duplicates_add_up():
    keep, weight = merged_weights(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([0, 1, 0, 0]))
    assert keep.tolist() == [0, 1]
    assert weight.tolist() == [13.0, 2.0]


@pytest.mark.parametrize("options", [{"similarity": "log_l2"}, {"similarity": "cosine"}, {"top_k": 2}])
def test_the_pruned_network_says_the_same(options):
    network = InterNRL("small", prototypes_per_class=[3, 4], prototype_channels=8, hidden=8, **options).eval()
    student = network.student
    with torch.no_grad():
        student.prototypes.vectors[2] = student.prototypes.vectors[0]
        student.prototypes.vectors[5:] = student.prototypes.vectors[3]
        student.prototypes.projected.fill_(True)
        student.last_layer.weight.uniform_(0.5, 2)
    whole, image = copy.deepcopy(network), torch.rand(3, 3, 64, 64)
    keep, weight = merged_weights(
        student.last_layer.weight, find_duplicates(student.prototypes.vectors, student.prototypes.class_map)
    )
    assert prune_prototypes(student, keep, weight) == [2, 2]
    assert student.prototypes.projected
    assert not student.prototypes.training
    torch.testing.assert_close(network(image), whole(image), rtol=0, atol=1e-5)
    explained, before = network.explain(image), whole.explain(image)
    torch.testing.assert_close(explained["student_logits"], before["student_logits"], rtol=0, atol=1e-5)
    assert explained["similarity_map"].shape[1] == 4
    # its weights fit a network that is built with the new numbers
    again = InterNRL("small", prototypes_per_class=[2, 2], prototype_channels=8, hidden=8, **options).eval()
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(image), network(image))


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ([], "keep is \\[\\], expected some of the prototypes 0 to 3"),
        ([2, 1], "in ascending order"),
        ([1, 4], "0 to 3"),
        ([0, 1], "no prototype of class 1 is kept"),
    ],
)
def test_impossible_choices_are_refused(keep, message):
    network = ProtoPNet("small", prototypes_per_class=2, prototype_channels=8)
    before = network.prototypes
    with pytest.raises(ValueError, match=message):
        prune_prototypes(network, keep)
    assert network.prototypes is before


def test_kept_weights_may_stay():
    network = ProtoPNet("small", prototypes_per_class=2, prototype_channels=8)
    with torch.no_grad():
        network.last_layer.weight.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert prune_prototypes(network, [1, 2, 3]) == [1, 2]
    assert network.last_layer.weight.tolist() == [2, 3, 4]


def test_the_book_follows():
    book = make_book()
    pruned = prune_book(book, [0, 2], [9.0, 3.5])
    found = [(one.index, one.source_case, one.weight) for one in pruned.prototypes]
    assert found == [(0, "case 0", 9.0), (1, "case 2", 3.5)]
    assert np.array_equal(pruned.vectors, book.vectors[[0, 2]])
    assert pruned.class_map.tolist() == [0, 1]
    assert pruned.fingerprint != book.fingerprint
    assert len(book.prototypes) == 3
