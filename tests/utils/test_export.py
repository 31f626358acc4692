import json
from pathlib import Path

import numpy as np
import pytest
import torch

from common.utils import export
from common.utils.export import export_bundle
from common.utils.messages import PlainError


def test_an_unknown_format_is_refused(trained_bundle):
    with pytest.raises(PlainError, match="unknown format 'onx'; expected one of ts, pt2, onnx; did you mean 'onnx'"):
        export_bundle(trained_bundle, "onx")


def test_torchscript(trained_bundle, tmp_path):
    file, difference = export_bundle(trained_bundle, "ts", tmp_path / "model.ts")
    texts = {"metadata.json": "", "inference.json": ""}
    scripted = torch.jit.load(file, _extra_files=texts)
    assert scripted(torch.rand(2, 3, 16, 24)).shape == (2, 2)
    assert json.loads(texts["inference.json"])["classifier"] == "vgg"
    assert difference < 1e-5


def test_torch_export_takes_any_batch(trained_bundle, tmp_path):
    file, difference = export_bundle(trained_bundle, "pt2", tmp_path / "model.pt2")
    texts = {"metadata.json": ""}
    program = torch.export.load(file, extra_files=texts).module()
    logits, explanation = program(torch.rand(5, 3, 37, 37))
    assert (logits.shape, explanation.shape) == ((5, 2), (5, 1, 37, 37))
    assert json.loads(texts["metadata.json"])["version"]
    assert difference < 1e-5


def test_onnx_names_its_outputs_and_takes_any_batch(trained_bundle, tmp_path):
    import onnxruntime

    file, difference = export_bundle(trained_bundle, "onnx", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(file))
    assert [o.name for o in session.get_outputs()] == ["pred", "explanation"]
    assert session.run(["pred"], {"image": np.zeros((4, 3, 37, 37), np.float32)})[0].shape == (4, 2)
    assert difference < 1e-4


def test_a_file_that_computes_something_else_is_an_error(trained_bundle, tmp_path, monkeypatch):
    def other(bundle: object, model: torch.nn.Module, image: torch.Tensor, target: Path) -> export.Run:
        return lambda image: tuple(output + 0.1 for output in model(image))

    monkeypatch.setattr(export, "_torch_export", other)
    with pytest.raises(PlainError, match=r"differs from the network by 0\.1"):
        export_bundle(trained_bundle, "pt2", tmp_path / "model.pt2")
