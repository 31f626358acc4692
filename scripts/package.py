"""``python -m scripts.package``: make the self-contained archive of a trained bundle."""

import fire

from common.utils.messages import print_causes_last
from common.utils.packing import pack_bundle


def main(folder: str, out: str = "dist", weights_url: str | None = None) -> None:
    """Pack a trained bundle into one archive that runs without this repository.

    Writes <name>_v<version>.zip and its sha256. Inside are the configuration, documents, weights (model.pt and a
    freshly exported model.ts) and just the code that the bundle needs, under a package name of its own. Before anything
    is written, the archive is unpacked in an empty directory and used there: inference, explanation, monai.bundle.load
    and TorchScript, with this repository's code made impossible to import. Takes about a minute.

    The bundle must hold the weights to ship as models/model.pt (training puts them there).

    Examples:
        python -m scripts.package bundles/xml_explainer_classification
        python -m scripts.package bundles/xml_explainer_classification --out /media/usb

    Whoever receives it:
        unzip xml_explainer_classification_v0.1.0.zip
        cd xml_explainer_classification
        python -m monai.bundle run --config_file configs/inference.json --dataset_dir <folder of images>

    Args:
        folder: the bundle's folder.
        out: where the archive is written.
        weights_url: where the large files will be published; lists them in large_files.yml, as MONAI's model collection
            asks for.
    """
    print(pack_bundle(folder, out, weights_url))


if __name__ == "__main__":
    print_causes_last()
    fire.Fire(main)
