"""``python -m scripts.export``: write a trained network as TorchScript, torch.export program or ONNX."""

import fire

from common.utils.export import export_bundle
from common.utils.messages import print_causes_last


def main(folder: str, format: str = "ts", out: str | None = None) -> None:
    """Export a trained bundle's network to a file that runs without this repository.

    The file is read back, run on random images and compared with the network; a difference beyond rounding is an
    error. All formats give the prediction and its explanation:

        ts     TorchScript with the metadata and inference.json inside, for MONAI Deploy and MONAI Label: calling the
               module gives the logits, its method explain(image) everything. Keep the name model.ts.
        pt2    torch.export, TorchScript's successor: returns the outputs named in metadata.json, in that order.
        onnx   for ONNX runtimes: input "image", outputs named as in metadata.json.

    Examples:
        python -m scripts.export bundles/xml_explainer_classification
        python -m scripts.export bundles/xml_explainer_classification --format onnx --out model.onnx

    Args:
        folder: the bundle's folder, holding models/model.pt.
        format: ts, pt2 or onnx.
        out: file to write; by default models/model.<format> in the bundle.
    """
    target, difference = export_bundle(folder, format, out)
    print(f"{target} (largest difference to the network: {difference:.1e})")


if __name__ == "__main__":
    print_causes_last()
    fire.Fire(main)
