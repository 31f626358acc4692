"""Which disease each diagnostic keyword of ODIR-5K stands for."""

from __future__ import annotations

__all__ = ["CLASSES", "IGNORED", "KEYWORDS", "NORMAL", "OTHER", "split_keywords"]

CLASSES = [
    "diabetic retinopathy",
    "glaucoma",
    "cataract",
    "age-related macular degeneration",
    "hypertensive retinopathy",
    "myopia",
    "other",
]
OTHER = "other"
NORMAL = "normal fundus"

#: What is said about the photograph, not about the eye.
IGNORED = {
    "lens dust",
    "optic disk photographically invisible",
    "low image quality",
    "no fundus image",
    "image offset",
    "anterior segment image",
}

#: Disease to its keywords; whatever is in no list is "other".
KEYWORDS = {
    "diabetic retinopathy": [
        "diabetic retinopathy",
        "suspected diabetic retinopathy",
        "suspicious diabetic retinopathy",
        "mild nonproliferative retinopathy",
        "mild non proliferative retinopathy",
        "moderate nonproliferative retinopathy",
        "moderate non proliferative retinopathy",
        "severe nonproliferative retinopathy",
        "severe non proliferative retinopathy",
        "suspected mild nonproliferative retinopathy",
        "suspected mild non proliferative retinopathy",
        "suspected moderate nonproliferative retinopathy",
        "suspected moderate non proliferative retinopathy",
        "suspected severe nonproliferative retinopathy",
        "suspected severe non proliferative retinopathy",
        "proliferative diabetic retinopathy",
        "severe proliferative diabetic retinopathy",
    ],
    "glaucoma": ["glaucoma", "suspected glaucoma"],
    "cataract": ["cataract", "suspected cataract"],
    "age-related macular degeneration": [
        "age-related macular degeneration",
        "dry age-related macular degeneration",
        "wet age-related macular degeneration",
    ],
    "hypertensive retinopathy": ["hypertensive retinopathy"],
    "myopia": [
        "pathological myopia",
        "suspected pathological myopia",
        "myopia retinopathy",
        "myopic retinopathy",
        "myopic maculopathy",
    ],
}


def split_keywords(text: str) -> list[str]:
    """Return the keywords of an eye, in lower case and without blanks around them.

    Args:
        text: keywords between full-width commas; ASCII commas count where there are no others.
    """
    parts = text.split("，" if "，" in text else ",")
    return [" ".join(part.casefold().split()) for part in parts if part.strip()]
