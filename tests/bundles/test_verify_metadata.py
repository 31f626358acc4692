"""MONAI's own check of a bundle's metadata, with a schema file that is there already, so that nothing is fetched."""

import json
import shutil
from pathlib import Path

import pytest

from tests.bundles.commands import BUNDLES, monai

pytestmark = pytest.mark.slow

SCHEMA = Path(__file__).with_name("metadata_schema.json")


def verify(metadata: Path, folder: Path, **options: object) -> str:
    schema = shutil.copy(SCHEMA, folder / "schema.json")
    return monai("verify_metadata", "--meta_file", metadata, "--filepath", schema, **options)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_the_metadata_are_verified(bundle, tmp_path):
    assert "is verified" in verify(bundle / "configs" / "metadata.json", tmp_path)


def test_a_missing_task_is_found(tmp_path):
    metadata = json.loads((BUNDLES[0] / "configs" / "metadata.json").read_text())
    del metadata["task"]
    changed = tmp_path / "metadata.json"
    changed.write_text(json.dumps(metadata))
    assert "'task' is a required property" in verify(changed, tmp_path, fails=True)
