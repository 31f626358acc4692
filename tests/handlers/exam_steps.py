"""Exams of four views, two findings and reports, of a network whose vectors are set by hand."""

from __future__ import annotations

import torch
from torch import Tensor

SIDES, FINDINGS, VIEW_SIDE = ["left", "right"], ["mass", "calcification"], [0, 0, 1, 1]
AXES = torch.eye(8)
"""What a token means: token t along axis t - 1."""
PROMPTS = torch.zeros(2, 2, 2, 1, 2, dtype=torch.int64)
"""Token 1 to 4 for the positive prompts of (left, right) x FINDINGS, 8 for all negative ones."""
PROMPTS[..., 0, 0, 0] = torch.arange(1, 5).reshape(2, 2)
PROMPTS[..., 1, 0, 0] = 8


class Named:
    """A network that knows a vector for each token; a sentence is the unit vector along their sum."""

    region_stride, region_offset = 4, 0
    prompt_token, prompt_word = PROMPTS, (PROMPTS != 0).long() - 1

    def encode_text(self, token: Tensor, word: Tensor) -> dict[str, Tensor]:
        vectors = AXES[(token - 1).clamp(min=0)] * (token > 0).unsqueeze(-1)
        total = torch.nn.functional.normalize(vectors.sum(-2), dim=-1)
        return {"sentence": total, "sentence_local": total, "word_vector": vectors, "word_mask": word >= 0}

    def parameters(self) -> object:
        return iter([AXES])


def step(exams: int = 6, first: int = 0, size: int = 32) -> tuple[dict, dict]:
    """Play exams whose scores are right: exam e has what the bits of e say; its report names it, side by side.

    Masks lie in the first view of a side, where the prompts' maps have their maximum; that of M is low there.
    """
    numbers = torch.arange(first, first + exams)
    label = torch.stack([(numbers // 2**bit) % 2 for bit in range(4)], dim=1)
    token = torch.zeros(exams, 4, 2, dtype=torch.int64)
    token[:, :, 0] = label * torch.arange(1, 5)
    mask = torch.zeros(exams, 4, 2, size, size, dtype=torch.uint8)
    maps, transmission = torch.zeros(exams, 4, 4, size // 4, size // 4), torch.full((exams, 4, size, size), 0.9)
    region = torch.zeros(exams, 4, 8, size // 4, size // 4)
    region[:, :, 7] = 1
    image = torch.full((exams, 4, 1, size, size), 0.4)
    for exam, column in label.nonzero().tolist():
        side, finding = divmod(column, 2)
        row = 2 + 4 * finding
        maps[exam, column, 2 * side, row, 3] = 1
        region[exam, 2 * side, 7, row, 3] = 0
        region[exam, 2 * side, column, row, 3] = 1
        inside = (exam, 2 * side, slice(4 * row - 1, 4 * row + 2), slice(11, 14))
        mask[exam, 2 * side, finding][inside[2:]] = 1
        transmission[inside] = 0.1
    side_vector = torch.nn.functional.normalize(
        torch.einsum("esf,sfd->esd", label.reshape(-1, 2, 2).float(), AXES[:4].reshape(2, 2, 8)), dim=2
    )
    side_vector = torch.where((side_vector == 0).all(2, keepdim=True), AXES[7], side_vector)
    batch = {
        "case_id": [f"e{number}" for number in numbers.tolist()],
        "image": image,
        "label": label.float(),
        "token": token,
        "word": (token > 0).long() - 1,
        "sentence_side": torch.where(label > 0, torch.tensor([0, 0, 1, 1]), -1),
        "text_key": torch.where(label > 0, torch.arange(4), -1),
        "finding_mask": mask,
        "finding_mask_given": mask.flatten(3).any(3) | (label.reshape(-1, 2, 2)[:, VIEW_SIDE] == 0),
    }
    output = {
        "logits": label.float() - 0.5,
        "side_vector": side_vector,
        "exam_vector": torch.nn.functional.normalize(side_vector.sum(1), dim=1),
        "prompt_map": maps,
        "region": region,
        "region_mask": torch.ones(exams, 4, size // 4, size // 4),
        "transmission": transmission,
    }
    return batch, output


def items(exams: int = 6) -> list[dict]:
    """Return the items of :func:`step`."""
    return [{"case_id": f"e{number}", "report": [f"Report {number}.", "Again."]} for number in range(exams)]
