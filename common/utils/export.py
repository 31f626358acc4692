"""Export a trained bundle's network to one file that other programs run, and compare what the file computes."""

import json
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from monai.bundle import ckpt_export
from torch import Tensor, nn

from common.utils.bundle import Bundle
from common.utils.checkpoint import load_state, load_weights_only
from common.utils.messages import PlainError, did_you_mean
from common.utils.network_check import build_network, example_image
from common.utils.optional import optional_import

__all__ = ["FORMATS", "export_bundle"]

#: File endings of the formats: TorchScript, torch.export, ONNX.
FORMATS = ("ts", "pt2", "onnx")
TOLERANCE = 1e-4

#: What ``forward`` returns, by its name in the outputs of ``explain``: of a classifier that also segments, the masks.
PREDICTIONS = ("segmentation_logits", "logits")


class PredictionWithExplanation(nn.Module):
    """A network whose ``forward`` returns all outputs that the metadata names, in that order.

    Args:
        network: with ``explain``.
        names: the outputs' names; ``pred`` stands for the logits of ``forward``.
    """

    def __init__(self, network: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs for images (B, C, H, W)."""
        outputs = self.network.explain(image)  # type: ignore[operator]
        pred = next(name for name in PREDICTIONS if name in outputs)
        return tuple(outputs[pred if name == "pred" else name] for name in self.names)


def export_bundle(folder: str | Path, kind: str, out: str | Path | None = None) -> tuple[Path, float]:
    """Write a trained bundle's network in a format.

    Args:
        folder: the bundle's folder, with ``models/model.pt``.
        kind: one of :data:`FORMATS`. ``ts`` is MONAI's TorchScript file, with ``explain`` as a method; ``pt2`` and
            ``onnx`` return the outputs named by the metadata, the explanation among them, for any batch size.
        out: file to write; by default ``models/model.<kind>`` in the bundle.

    Returns:
        The file, and the largest difference between its outputs and the network's on three random images.

    Raises:
        PlainError: if the format is unknown, there are no weights, or the file computes something else.
    """
    if kind not in FORMATS:
        hint = did_you_mean(kind, FORMATS)
        raise PlainError(f"unknown format '{kind}'; expected one of {', '.join(FORMATS)}{hint}")
    bundle = Bundle(folder)
    weights = bundle.weights_file()
    network = build_network(bundle)
    load_state(network, load_weights_only(weights), str(weights))
    names = list(bundle.metadata["network_data_format"]["outputs"])
    model = PredictionWithExplanation(network, names).eval()
    image = example_image(bundle, batch=2)
    target = Path(out) if out is not None else bundle.folder / "models" / f"model.{kind}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # TorchScript and its replacement announce each other
        if kind == "ts":
            run = _torchscript(bundle, target)
        elif kind == "pt2":
            run = _torch_export(bundle, model, image, target)
        else:
            run = _onnx(model, image, target)
        probe = example_image(bundle, batch=3)  # another batch size than the one exported with
        pairs = zip(model(probe), run(probe), strict=True)
        difference = max(float((expected - value).abs().max()) for expected, value in pairs)
    if difference > TOLERANCE:
        raise PlainError(
            f"{target} differs from the network by {difference:.2g}; more than {TOLERANCE:g} is no rounding"
        )
    return target, difference


Run = Callable[[Tensor], tuple[Tensor, ...]]


def _torchscript(bundle: Bundle, target: Path) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "inference.json"  # under this name it is found in the file
        config.write_text(json.dumps(bundle.trained_config("inference")), encoding="utf-8")
        ckpt_export(
            net_id="network_def",
            filepath=str(target),
            ckpt_file=str(bundle.weights_file()),
            meta_file=str(bundle.config_file("metadata")),
            config_file=str(config),
            bundle_root=str(bundle.folder),
        )
    names = list(bundle.metadata["network_data_format"]["outputs"])
    return PredictionWithExplanation(torch.jit.load(target), names)


def _torch_export(bundle: Bundle, model: nn.Module, image: Tensor, target: Path) -> Run:
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(model, (image,), dynamic_shapes={"image": {0: batch}})
    texts = {
        f"{n}.json": json.dumps(c)
        for n, c in (("metadata", bundle.metadata), ("inference", bundle.trained_config("inference")))
    }
    torch.export.save(program, target, extra_files=texts)
    return torch.export.load(target).module()


def _onnx(model: PredictionWithExplanation, image: Tensor, target: Path) -> Run:
    optional_import("onnxscript", "export")
    runtime = optional_import("onnxruntime", "export")
    batch = torch.export.Dim("batch", min=1)
    torch.onnx.export(
        model,
        (image,),
        target,
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=["image"],
        output_names=model.names,
        dynamic_shapes={"image": {0: batch}},
    )
    session = runtime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    return partial(_run_onnx, session)


def _run_onnx(session: object, image: Tensor) -> tuple[Tensor, ...]:
    values = session.run(None, {"image": image.numpy()})  # type: ignore[attr-defined]
    return tuple(map(torch.from_numpy, values))
