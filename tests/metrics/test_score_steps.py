import numpy as np

from common.metrics.score_steps import score_steps


def test_ties_are_one_step_and_weights_add_up():
    """Scores 0.2 (-), 0.7 (+, -), 0.9 (+); the second resample draws the first case twice and the third never."""
    score, target = np.array([0.2, 0.7, 0.7, 0.9]), np.array([0.0, 1.0, 0.0, 1.0])
    weights = np.array([[1.0, 1, 1, 1], [2, 1, 0, 1]])
    positive, negative = score_steps(score, target, weights)
    assert positive.tolist() == [[0, 1, 1], [0, 1, 1]]
    assert negative.tolist() == [[1, 1, 0], [2, 0, 0]]


def test_without_a_score_there_is_no_step():
    positive, negative = score_steps(np.zeros(0), np.zeros(0), np.ones((3, 0)))
    assert positive.shape == negative.shape == (3, 0)
