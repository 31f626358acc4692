"""Every folder under bundles/ keeps the contract: one test per bundle and rule."""

from pathlib import Path

import pytest

from common.utils.bundle import Bundle
from common.utils.bundle_check import RULES

FOLDERS = sorted(f for f in (Path(__file__).resolve().parents[2] / "bundles").iterdir() if f.is_dir())


def test_there_are_bundles():
    assert FOLDERS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_bundle_keeps(folder, rule):
    assert list(rule(Bundle(folder))) == []
