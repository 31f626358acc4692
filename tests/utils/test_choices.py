"""Unknown names are answered with the legal ones."""

import pytest

from common.utils.choices import check_choice


def test_legal_name_passes():
    assert check_choice("reduction", "mean", ("mean", "sum")) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("maen", "reduction is 'maen', expected one of mean, sum; did you mean 'mean'?"),
        ("xyz", "reduction is 'xyz', expected one of mean, sum"),
        (None, "reduction is None, expected one of mean, sum"),
    ],
)
def test_unknown_name_is_answered_with_the_legal_ones(given, message):
    with pytest.raises(ValueError, match="reduction is") as caught:
        check_choice("reduction", given, ("mean", "sum"))
    assert str(caught.value) == message
