import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from common.metrics.bootstrap import bootstrap_interval
from common.metrics.ood import ood_table


def _false_alarms(uncertainty, foreign):
    false_positive, true_positive, _ = roc_curve(foreign, uncertainty, drop_intermediate=False)
    return float(false_positive[true_positive >= 0.95 - 1e-9].min())


def test_four_images_by_pencil():
    # foreign .5 .9, own .1 .7: 3 of 4 pairs in order; finding both means flagging from .5 on, and with it .7
    table = ood_table([0.5, 0.9, 0.1, 0.7], [1, 1, 0, 0], n_resamples=20)
    assert (table["ood_auroc"]["value"], table["ood_fpr95"]["value"]) == (0.75, 0.5)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 60))
def test_values_are_scikit_learns_with_ties(seed, n):
    rng = np.random.default_rng(seed)
    uncertainty, foreign = np.round(rng.random(n + 2), 1), np.r_[0, 1, rng.integers(2, size=n)]
    table = ood_table(uncertainty, foreign, n_resamples=1)
    assert table["ood_auroc"]["value"] == pytest.approx(roc_auc_score(foreign, uncertainty))
    assert table["ood_fpr95"]["value"] == pytest.approx(_false_alarms(uncertainty, foreign))


def test_intervals_are_those_of_resampling_and_scoring_each():
    rng = np.random.default_rng(3)
    foreign = np.arange(60) >= 30
    uncertainty = rng.random(60) + 0.5 * foreign
    table = ood_table(uncertainty, foreign, np.arange(60) // 2, seed=4, n_resamples=60)
    for name, statistic in (("ood_auroc", lambda u, f: roc_auc_score(f, u)), ("ood_fpr95", _false_alarms)):
        slow = bootstrap_interval(statistic, uncertainty, foreign, groups=np.arange(60) // 2, n_resamples=60, seed=4)
        assert table[name] == pytest.approx(slow.as_record())


def test_one_kind_only_leaves_both_undefined():
    table = ood_table([0.1, 0.2], [1, 1], n_resamples=5)
    assert [record["value"] for record in table.values()] == [None, None]


@pytest.mark.parametrize(
    ("uncertainty", "message"), [([0.1], r"shape \(1,\), foreign \(2,\)"), ([0.1, np.inf], "1 of 2 images")]
)
def test_bad_input_is_named(uncertainty, message):
    with pytest.raises(ValueError, match=message):
        ood_table(uncertainty, [0, 1])
