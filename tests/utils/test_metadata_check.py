import copy

import pytest

import common
from common.utils.metadata_check import metadata_fields, metadata_tensors, metadata_versions

IMAGE = {
    "type": "image",
    "format": "magnitude",
    "num_channels": 1,
    "spatial_shape": ["*", "32 * n"],
    "dtype": "float32",
    "value_range": [0, 1],
    "is_patch_data": False,
    "channel_def": {"0": "image"},
}
GOOD = {
    **dict.fromkeys(("name", "task", "description", "authors", "copyright", "data_source", "data_type"), "words"),
    **dict.fromkeys(("image_classes", "label_classes", "pred_classes", "intended_use"), "words"),
    "schema": "https://example.org/meta_schema_20240725.json",
    "version": "0.10.0",
    "changelog": {"0.9.1": "older", "0.10.0": "newer"},
    "monai_version": "99.0",
    "pytorch_version": "99.0",
    "numpy_version": "99.0",
    "required_packages_version": {"common": common.__version__, "fire": "99.1"},
    "eval_metrics": {},
    "supported_apps": {},
    "references": [],
    "network_data_format": {"inputs": {"image": IMAGE}, "outputs": {"pred": {**IMAGE, "spatial_shape": []}}},
}
RULES = (metadata_fields, metadata_versions, metadata_tensors)


def problems_after(path: str, value: object) -> list[str]:
    metadata = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    place = metadata
    for part in parents:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return [problem for rule in RULES for problem in rule(metadata)]


def test_complete_metadata_has_no_problems():
    assert [problem for rule in RULES for problem in rule(GOOD)] == []


OUTPUT = "network_data_format/outputs/pred"
BROKEN = {
    "missing text": ("intended_use", None, "intended_use is missing; expected a text"),
    "list for object": ("supported_apps", ["label"], "supported_apps is ['label']; expected an object"),
    "text for list": ("references", "a paper", "references is 'a paper'; expected a list"),
    "undated schema": ("schema", "https://example.org/schema.json", "is not the URL of a dated file"),
    "version of two numbers": ("version", "0.10", "version '0.10' is not of the form 1.2.3"),
    "version not in the changelog": ("version", "0.11.0", "the changelog has no entry for version 0.11.0"),
    "older version": ("version", "0.9.1", "version 0.9.1 is not the newest entry of the changelog"),
    "bounded pin": ("required_packages_version/fire", ">=1", "fire: '>=1' is not a plain version"),
    "local version": ("pytorch_version", "2.15.0+cpu", "torch: '2.15.0+cpu' is not a plain version"),
    "library of another version": ("required_packages_version/common", "0.0.1", "common is 0.0.1, the library is"),
    "older than required": ("required_packages_version/fire", "0.1", "fire: 0.1 contradicts requirements.txt"),
    "base older than required": ("monai_version", "1.0", "monai: 1.0 contradicts requirements.txt"),
    "first output": ("network_data_format/outputs", {"map": IMAGE}, "outputs: the first one must be 'pred'"),
    "no inputs": ("network_data_format/inputs", None, "inputs: the first one must be 'image'"),
    "channels as text": (f"{OUTPUT}/num_channels", "2", "outputs pred: num_channels is '2'; expected int"),
    "no value range": (f"{OUTPUT}/value_range", None, "outputs pred: value_range is None; expected list"),
    "unnamed channels": (f"{OUTPUT}/channel_def", {}, "outputs pred: channel_def names 0 of 1 channels"),
    "fractional size": (f"{OUTPUT}/spatial_shape", [1.5], "spatial_shape [1.5] may hold whole numbers and texts"),
    "range in words": (f"{OUTPUT}/value_range", ["0"], "value_range ['0'] may hold numbers only"),
}


@pytest.mark.parametrize(("path", "value", "expected"), BROKEN.values(), ids=BROKEN)
def test_each_mistake_is_one_problem(path, value, expected):
    problems = problems_after(path, value)
    assert len(problems) == 1
    assert expected in problems[0]
