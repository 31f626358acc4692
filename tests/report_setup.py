"""A small network of exams and reports, its prompts and tokenizer, and exams on disk."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from common.networks import MultiViewReportNet, build_text_encoder
from common.text import Tokenizer, load_prompts, train_tokenizer

VIEWS, SIDES, VIEW_SIDE = ["left_cc", "left_mlo", "right_cc", "right_mlo"], ["left", "right"], [0, 0, 1, 1]
FINDINGS = ["mass", "calcification"]
CLASSES = ["left mass", "left calcification", "right mass", "right calcification"]
PROMPTS = {
    "mass": {
        "positive": ["There is a mass in the {side} breast.", "{side} breast: mass."],
        "negative": ["There is no mass in the {side} breast.", "{side} breast: no mass."],
    },
    "calcification": {
        "positive": ["There are calcifications in the {side} breast.", "{side} breast: calcifications."],
        "negative": ["There are no calcifications in the {side} breast.", "{side} breast: no calcifications."],
    },
}


def text_files(folder: Path) -> tuple[Path, Path]:
    """Write prompts and tokenizer; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts, tokenizer = folder / "prompts.json", folder / "tokenizer.json"
    prompts.write_text(json.dumps({"findings": PROMPTS}))
    lines = [line for finding in PROMPTS.values() for answer in finding.values() for line in answer]
    train_tokenizer([line.replace("{side}", side) for line in lines for side in SIDES]).save(tokenizer)
    return prompts, tokenizer


def small_report_net(folder: Path, decoder: str | None = None, seed: int = 0) -> MultiViewReportNet:
    """Build a network with random weights; its files are written into the folder."""
    torch.manual_seed(seed)
    prompts, tokenizer = text_files(folder)
    known = Tokenizer.from_file(tokenizer)
    text = build_text_encoder("bag", known, width=16)
    asked = load_prompts(prompts, FINDINGS, SIDES, known, 16)
    return MultiViewReportNet(text, asked, VIEWS, VIEW_SIDE, SIDES, FINDINGS, joint_width=16, decoder=decoder).eval()


def write_exam(folder: Path, views: list[str], seed: int = 0) -> dict[str, str]:
    """Write views of 64 x 48 pixels, right breasts with the chest wall at the right; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    paths = {}
    for view in views:
        pixels = np.zeros((64, 48), dtype=np.uint8)
        pixels[8:56, :40] = generator.integers(60, 220, (48, 40))
        path = folder / f"{view}.png"
        Image.fromarray(pixels[:, ::-1] if view.startswith("right") else pixels).save(path)
        paths[view] = str(path)
    return paths
