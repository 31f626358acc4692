import json
import shutil
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from common.utils.bundle import Bundle


@pytest.fixture(scope="session")
def trained_bundle(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the xML bundle and give it weights as a training would, of a small network; what a run leaves lies about."""
    folder = tmp_path_factory.mktemp("trained") / "xml_explainer_classification"
    shutil.copytree(
        repository / "bundles" / folder.name, folder, ignore=shutil.ignore_patterns("models", "run", "data", "eval")
    )
    settings = {"classifier": "vgg", "image_size": 32, "absent_in_inference": 1}
    for name, text in {
        "models/settings.json": json.dumps(settings),
        "models/checkpoint.pt": "x",
        "run/a.csv": "x",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] = ["*", "*"]
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    torch.manual_seed(0)
    network = ConfigParser(Bundle(folder).trained_config("inference")).get_parsed_content("network_def")
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder
