"""Networks of exams and reports from Python: load one, ask it sentences, see where they fit.

::

    from common.api import vwyl

    model = vwyl.load_model("bundles/vwyl_report_classification")
    exam = {"left_cc": "a.dcm", "left_mlo": "b.dcm"}
    vwyl.zero_shot_classify(model, [exam])
    model.explain(exam, "There is a mass in the left breast.")["map"]

Weights are read without executing anything in them, and nothing is fetched from any network. The names at the end of
this file, with their order of arguments, are those of the published code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor

from common.api.report_model import KINDS, LEVELS, Exam, ReportModel
from common.data import LoadViewsd
from common.networks import ExamClassifier, ExamSegmenter
from common.text import Tokenizer, load_prompts
from common.utils.bundle import Bundle
from common.utils.checkpoint import load_state, load_weights_only, tensors_of
from common.utils.messages import PlainError, did_you_mean
from common.utils.optional import optional_import

__all__ = [
    "KINDS",
    "LEVELS",
    "ReportModel",
    "available_models",
    "get_similarities",
    "load_VSWL",
    "load_classifier",
    "load_model",
    "load_segmenter",
    "zero_shot_classification",
    "zero_shot_classify",
    "zero_shot_segment",
]

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
BUNDLE = "vwyl_report_classification"
CONFIGS = ("inference", "train")
HEAD_OPTIONS = ("feature", "fusion", "joint_width")
ENCODER_OPTIONS = ("image", "view_side", "shared", "in_channels", "mean", "std")


def available_models(bundles: str | Path = BUNDLES) -> list[str]:
    """Return the names of the bundles that hold a trained network of exams and reports.

    Args:
        bundles: folder of bundles.
    """
    found = sorted(Path(bundles).glob("*/models/model.pt"))
    return [path.parents[1].name for path in found if path.parents[1].name.startswith(BUNDLE)]


def load_model(name: str | Path = BUNDLE, device: str | torch.device = "auto") -> ReportModel:
    """Load a trained network of exams and reports.

    Args:
        name: a name of :func:`available_models`, the folder of a bundle, or the ``model.pt`` of a training, beside
            which its ``settings.json`` lies.
        device: where it computes; "auto" is the GPU if there is one.

    Returns:
        The model, in evaluation mode.

    Raises:
        PlainError: if there is no such model or it was not trained yet.
        ValueError: if the weights do not fit the configuration.
    """
    parser, weights = _configuration(name)
    network = parser.get_parsed_content("network_def")
    load_state(network, load_weights_only(weights), weights)
    given = {key: parser.get_parsed_content(key) for key in ("crop", "mirrored") if key in parser}
    load = LoadViewsd(network.views, parser.get_parsed_content("image_size"), **given)
    tokenizer = Tokenizer.from_file(parser.get_parsed_content("tokenizer"))
    return ReportModel(network.eval().to(_device(device)), load, tokenizer)


def load_classifier(
    name: str | Path = BUNDLE, device: str | torch.device = "auto", num_findings: int | None = None, **options: Any
) -> ExamClassifier:
    """Load a classifier of findings: fine-tuned, or a new one on a pre-trained image encoder.

    Args:
        name: as for :func:`load_model`. Weights with a head are those of a fine-tuned classifier.
        device: where it computes.
        num_findings: of a new head; None for as many as the pre-training asked for.
        options: of :class:`common.networks.ExamClassifier`.

    Raises:
        PlainError: if there is no such model.
        ValueError: if the weights do not fit.
    """
    parser, weights = _configuration(name)
    state = tensors_of(load_weights_only(weights), str(weights))
    options = _encoder_options(parser) | options
    if "head.weight" in state:
        stated = _settings(weights)
        options = {key: stated[key] for key in HEAD_OPTIONS if key in stated} | options
        classifier = ExamClassifier(len(state["head.weight"]), **options)
        load_state(classifier, state, weights)
    else:
        count = len(parser.get_parsed_content("findings")) if num_findings is None else num_findings
        classifier = ExamClassifier(count, weights=weights, **options)
    return classifier.eval().to(_device(device))


def load_segmenter(name: str | Path = BUNDLE, device: str | torch.device = "auto", **options: Any) -> ExamSegmenter:
    """Load a segmenter of findings: fine-tuned, or a new one on a pre-trained image encoder.

    Args:
        name: as for :func:`load_model`. Weights with a head are those of a fine-tuned segmenter.
        device: where it computes.
        options: of :class:`common.networks.ExamSegmenter`.

    Raises:
        PlainError: if there is no such model.
        ValueError: if the weights do not fit.
    """
    parser, weights = _configuration(name)
    state = tensors_of(load_weights_only(weights), str(weights))
    options = _encoder_options(parser) | options
    if "head.weight" in state:
        segmenter = ExamSegmenter(**options)
        load_state(segmenter, state, weights)
    else:
        segmenter = ExamSegmenter(weights=weights, **options)
    return segmenter.eval().to(_device(device))


def zero_shot_classify(
    model: ReportModel, exams: Sequence[Exam] | Tensor, prompts: str | Path | None = None
) -> list[dict[str, float]]:
    """Return for each exam the probability of every finding on every side that has a view.

    Args:
        model: of :func:`load_model`.
        exams: see :meth:`ReportModel.encode_exam`.
        prompts: file of other prompts than the model's own, for the same findings and sides.
    """
    network = model.network
    image, _ = model.images(exams)
    with torch.no_grad():
        if prompts is None:
            answer = network.explain(image)
        else:
            length = network.prompt_token.shape[-1]
            token, word = load_prompts(prompts, network.findings, network.sides, model.tokenizer, length)
            answer = network.zero_shot(image, token.to(image.device), word.to(image.device))
        present = network.encode(image)["side_mask"]
    there = present.repeat_interleave(len(network.findings), 1).tolist()
    rows = answer["probability"].float().tolist()
    return [
        {name: value for name, value, seen in zip(model.classes, row, mask, strict=True) if seen}
        for row, mask in zip(rows, there, strict=True)
    ]


def zero_shot_segment(model: ReportModel, exam: Exam | Tensor, text: str, threshold: float = 0.5) -> Tensor:
    """Return where a sentence fits an exam best.

    Args:
        model: of :func:`load_model`.
        exam: one exam, see :meth:`ReportModel.encode_exam`.
        text: a sentence that states a finding.
        threshold: share of the largest value from which a pixel counts, above 0 to 1.

    Returns:
        Masks (V,H,W), bool, over the network's input.

    Raises:
        ValueError: if the threshold is out of range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}, expected a share of the largest value, above 0 to 1")
    maps: Tensor = model.explain(exam, text)["map"]
    return (maps >= threshold * maps.max()) & (maps > 0)


def load_VSWL(name: str = BUNDLE, device: str | torch.device = "auto") -> ReportModel:  # noqa: N802 - as published
    """Load a model: the published name of :func:`load_model`."""
    return load_model(name, device)


def get_similarities(
    model: ReportModel, imgs: Sequence[Exam] | Tensor, txts: Sequence[str], similarity_type: str = "both"
) -> Tensor:
    """Compare exams with texts (E,M): the published name of :meth:`ReportModel.similarity`."""
    return model.similarity(imgs, txts, level="exam", kind=similarity_type)


def zero_shot_classification(
    model: ReportModel, imgs: Sequence[Exam] | Tensor, cls_txt_mapping: Mapping[str, Sequence[str]]
) -> Any:
    """Compare exams with the texts of classes, by the published name.

    Args:
        model: of :func:`load_model`.
        imgs: the exams.
        cls_txt_mapping: texts of each class.

    Returns:
        A pandas table, a row for each exam and a column for each class: the best similarity of any of its texts. Unlike
        the published code's, an answer does not depend on the other exams of the call.
    """
    pandas = optional_import("pandas", "data")
    columns = {name: get_similarities(model, imgs, texts).amax(1).tolist() for name, texts in cls_txt_mapping.items()}
    return pandas.DataFrame(columns)


def _configuration(name: str | Path) -> tuple[ConfigParser, Path]:
    """Return the configuration of a trained network, and its weights."""
    path = Path(name)
    if path.is_file():
        bundle, weights = Bundle(BUNDLES / BUNDLE), path
    else:
        if not path.is_dir() and not (BUNDLES / path).is_dir():
            known = available_models()
            raise PlainError(
                f"there is no model '{name}'{did_you_mean(str(name), known)}; expected the folder of a bundle, a "
                f"model.pt, or one of: {', '.join(known) or 'none is trained yet'}"
            )
        bundle = Bundle(path if path.is_dir() else BUNDLES / path)
        weights = bundle.weights_file()
    config = next((bundle.configs[each] for each in CONFIGS if "network_def" in bundle.configs.get(each, {})), None)
    if config is None:
        raise PlainError(f"{bundle.folder} has no configuration {' or '.join(CONFIGS)} with a network_def")
    parser = ConfigParser(dict(config))
    parser.update({key: value for key, value in _settings(weights).items() if key in config})
    parser["bundle_root"], parser["ckpt_path"] = str(bundle.folder), str(weights)
    return parser, weights


def _settings(weights: Path) -> dict[str, Any]:
    """Return what a training has left beside its weights."""
    settings = weights.parent / "settings.json"
    return dict(ConfigParser.load_config_file(settings)) if settings.is_file() else {}


def _encoder_options(parser: ConfigParser) -> dict[str, Any]:
    """Return how the image encoder of the pre-trained network was built."""
    stated = parser["network_def"]
    return {key: parser.get_parsed_content(f"network_def::{key}") for key in ENCODER_OPTIONS if key in stated}


def _device(device: str | torch.device) -> torch.device:
    if device != "auto":
        return torch.device(device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
