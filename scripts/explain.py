"""Explain images with a trained bundle: a JSON record and a card per image, and one report."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import fire

from common.utils.messages import PlainError


def explain(
    bundle: str,
    images: str,
    output: str = "runs/explain",
    weights: str | None = None,
    on_error: str = "skip",
    max_cards: int = 64,
) -> None:
    """Explain every image of a folder; prints the MONAI command it runs.

    Example:
        python -m scripts.explain bundles/xml_explainer_classification my_images --output runs/mine

    Args:
        bundle: the bundle's folder.
        images: folder of PNG, JPEG, TIFF, DICOM or NIfTI files, or a datalist (*.json) whose test section is taken.
        output: folder for explanations/<case>/ and report.html.
        weights: model.pt of a training; default <bundle>/models/model.pt. The settings.json beside it is used if there.
        on_error: "skip" leaves out images that cannot be read and lists them in the report; "raise" stops at the first.
        max_cards: draw the cards of at most so many images; every image gets its record.

    Raises:
        PlainError: if the bundle, its weights or the images are missing.
    """
    folder = Path(bundle)
    config = folder / "configs" / "explain.json"
    model = Path(weights) if weights else folder / "models" / "model.pt"
    for path, remedy in (
        (config, "give the folder of a bundle, e.g. bundles/xml_explainer_classification"),
        (model, "train the bundle, run `make demo` once, or pass --weights <model.pt>"),
        (Path(images), "give a folder of images or a datalist"),
    ):
        if not path.exists():
            raise PlainError(f"{path} does not exist; {remedy}")
    settings = model.parent / "settings.json"
    configs = [str(config), *([str(settings)] if settings.is_file() else [])]
    data = ["--datalist", images] if images.endswith(".json") else ["--dataset_dir", images]
    command = ["-m", "monai.bundle", "run", "explaining", "--config_file", str(configs), *data]
    command += [
        "--output_dir",
        output,
        "--ckpt_path",
        str(model),
        "--on_error",
        on_error,
        "--max_cards",
        str(max_cards),
    ]
    print(f"$ python {shlex.join(command)}\n", flush=True)
    finished = subprocess.run([sys.executable, *command], check=False)
    if finished.returncode:
        raise SystemExit(finished.returncode)
    print(f"\nReport  {Path(output) / 'report.html'}\nCards   {Path(output) / 'explanations'}/<case>/card.png")


if __name__ == "__main__":
    fire.Fire(explain)
