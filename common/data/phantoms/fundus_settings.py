"""Everything that can be chosen about the fundus phantom, checked before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.data.phantoms.options import GeneratorSettings, at_least, is_list, read_scalar

__all__ = ["FUNDUS_PRESETS", "FundusSettings"]

SMALLEST_CUP = 4.0  # pixels from its upper to its lower end; a smaller one cannot be measured
LARGEST_RATIO = 0.9  # of the heights of cup and disc; beyond, no rim is left to see
TABLES = ("csv", "xlsx")

Range = tuple[float, float]

FUNDUS_PRESETS: dict[str, dict[str, Any]] = {
    # Whole photographs: the disc is a quarter of the picture, some pictures are too hazy to be sure.
    "standard": {},
    # Small pictures taken close to the disc, so that the cup still has some pixels when they are 64 wide.
    "demo": {"count": (300, 100, 200), "size": 96, "disc": (0.36, 0.48), "hazy_fraction": 0.15},
    # As many photographs as in REFUGE, one in ten with glaucoma, discs of the usual size, spreadsheets for labels.
    "refuge": {"count": (400, 400, 400), "size": 512, "positive_fraction": 0.1, "disc": (0.13, 0.18), "table": "xlsx"},
}


@dataclass(frozen=True)
class FundusSettings(GeneratorSettings):
    """The settings of a fundus data set. Every range includes both ends.

    Args:
        count: images for training, validation and test. Image i of a subset depends on the seed and i alone: a larger
            count adds images and changes none.
        size: width of the images, in pixels. The camera of the training images has the aspect of 2124 x 2056, that of
            the others is square.
        seed: of the whole data set, 0 or larger.
        positive_fraction: share of glaucoma in each subset; met exactly when its count is even, else within one image.
        healthy: height of the cup / height of the disc in eyes without glaucoma.
        glaucoma: the same in eyes with glaucoma. The gap between the two ranges is the margin of the decision.
        disc: height of the disc / width of the image; not related to the class.
        cup_contrast: how much paler the cup is than the rim; 1 is easy, 0.3 hard.
        camera_difference: how much the camera of validation and test differs in colour, vignetting, sharpness and
            compression from that of training, 0 to 1.
        vessels: whether there are vessels, which cross the disc and hide its borders.
        lesions: whether some eyes have bright and dark spots or a pale ring round the disc, which mean nothing here.
        hazy_fraction: share of images taken through a clouded lens. Their cup is hard to see, so that a network has
            something to be unsure about.
        noise: standard deviation of the Gaussian noise, in grey levels.
        table: format of the label sheets, csv or xlsx (needs pandas and openpyxl).

    Raises:
        ValueError: if a value is out of range or the settings contradict each other; it says what to change.
    """

    presets = FUNDUS_PRESETS

    count: tuple[int, int, int] = (240, 80, 80)
    size: int = 160
    seed: int = 0
    positive_fraction: float = 0.5
    healthy: Range = (0.3, 0.5)
    glaucoma: Range = (0.6, 0.8)
    disc: Range = (0.22, 0.3)
    cup_contrast: float = 1.0
    camera_difference: float = 1.0
    vessels: bool = True
    lesions: bool = True
    hazy_fraction: float = 0.1
    noise: float = 4.0
    table: str = "csv"

    def __post_init__(self) -> None:
        at_least(2, **{f"count[{place}]": count for place, count in enumerate(self.count)})
        at_least(32, size=self.size)
        at_least(0, seed=self.seed, noise=self.noise)
        for name in ("healthy", "glaucoma", "disc"):
            low, high = getattr(self, name)
            if not 0 < low <= high <= LARGEST_RATIO:
                raise ValueError(f"{name}={low:g},{high:g}: expected two rising numbers above 0, up to {LARGEST_RATIO}")
        if self.healthy[1] >= self.glaucoma[0]:
            raise ValueError(
                f"healthy={self.healthy[0]:g},{self.healthy[1]:g} reaches glaucoma={self.glaucoma[0]:g},"
                f"{self.glaucoma[1]:g}: leave a gap between them, or the label could not be told from the image"
            )
        for name in ("camera_difference", "hazy_fraction", "cup_contrast"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name):g}: expected a number from 0 to 1")
        if not 0 < self.positive_fraction < 1:
            raise ValueError(f"positive_fraction={self.positive_fraction:g}: expected a number between 0 and 1")
        if self.table not in TABLES:
            raise ValueError(f"table='{self.table}': expected {' or '.join(TABLES)}")
        self._check_geometry()

    def _check_geometry(self) -> None:
        if self.disc[1] > 0.6:
            raise ValueError(f"disc={self.disc[1]:g}: a disc higher than 0.6 of the width leaves no room; lower disc")
        smallest = self.healthy[0] * self.disc[0] * self.size
        if smallest < SMALLEST_CUP:
            raise ValueError(
                f"the smallest cup would be {smallest:.1f} pixels high, expected at least {SMALLEST_CUP:g}: raise "
                "size, disc or healthy"
            )

    @classmethod
    def read(cls, name: str, default: Any, value: Any) -> Any:
        """Turn a plain value into the type of its setting, or say what was expected."""
        if name == "count":
            counts = value if is_list(value) else (value,) * 3
            if len(counts) != 3:
                raise ValueError(f"count={value}: expected one number, or three for training, validation and test")
            return tuple(read_scalar(name, number, int) for number in counts)
        return super().read(name, default, value)
