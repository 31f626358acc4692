"""The fundus phantom: photographs of the back of an eye, positive when the cup is high compared with the disc.

Image i of a subset depends on the settings, the seed, the subset and i alone. The label is decided by the ratio of the
heights of cup and disc, drawn from one of two ranges with a gap between them; everything else (vessels, lighting,
camera, size and place of the disc, spots) is drawn independently of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from common.data.phantoms.balance import balanced_label
from common.data.phantoms.fundus_scene import Ellipse, FundusScene, Vessel, sample_eye, sample_vessels
from common.data.phantoms.fundus_settings import FundusSettings

__all__ = ["BACKGROUND", "CAMERAS", "CUP", "RIM", "Camera", "FundusSample", "fundus_label", "make_fundus"]

CUP, RIM, BACKGROUND = 0, 128, 255  # what REFUGE's mask files hold
SUPERSAMPLING = 3  # of the vessels, which are thinner than a pixel

# Each purpose has a stream of its own: changing the camera or the noise never changes the eye.
_TOSS, _EYE, _VESSELS, _LOOK, _HAZE, _NOISE = range(6)

RETINA = np.array([0.78, 0.36, 0.16])
DISC = np.array([0.96, 0.74, 0.42])
PALE = np.array([1.0, 0.93, 0.74])  # of a cup with full contrast
VEIN, ARTERY = np.array([0.42, 0.09, 0.05]), np.array([0.58, 0.16, 0.09])
VEIL = np.array([0.62, 0.50, 0.36])  # of a clouded lens

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """What a camera does to a picture.

    Args:
        gain: of red, green and blue.
        vignetting: loss of light at the border of the field, 0 to 1.
        blur: standard deviation, in share of the picture's width.
        quality: of the JPEG file.
    """

    gain: tuple[float, float, float]
    vignetting: float
    blur: float
    quality: int

    def towards(self, other: Camera, share: float) -> Camera:
        """Return a camera between this one (share 0) and another one (share 1)."""

        def between(here: float, there: float) -> float:
            return here + share * (there - here)

        gain = tuple(between(*pair) for pair in zip(self.gain, other.gain, strict=True))
        return Camera(
            (gain[0], gain[1], gain[2]),
            between(self.vignetting, other.vignetting),
            between(self.blur, other.blur),
            round(between(self.quality, other.quality)),
        )


# The camera of the training images, and that of validation and test.
CAMERAS = (Camera((1.0, 1.0, 1.0), 0.25, 0.003, 95), Camera((0.9, 1.12, 1.25), 0.45, 0.006, 88))


@dataclass(frozen=True, eq=False)
class FundusSample:
    """A finished photograph with everything known about it.

    Args:
        image: (H, W, 3) uint8.
        mask: (H, W) uint8: 0 cup, 128 rim, 255 background.
        label: 1 with glaucoma, else 0.
        hazy: whether it was taken through a clouded lens.
        camera: it was taken with; its quality is for who writes the file.
        scene: the eye itself.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    label: int
    hazy: bool
    camera: Camera
    scene: FundusScene


def fundus_label(settings: FundusSettings, subset: int, index: int) -> int:
    """Return the class of an image without making it; see :func:`balanced_label`."""
    toss = int(_stream(settings, subset, index // 2, _TOSS).integers(2))
    return balanced_label(index, settings.positive_fraction, toss)


def make_fundus(settings: FundusSettings, subset: int, index: int) -> FundusSample:
    """Make a photograph with its label and mask.

    Args:
        settings: of the data set.
        subset: 0 training, 1 validation, 2 test.
        index: of the image in its subset, from 0.
    """
    streams = [_stream(settings, subset, index, purpose) for purpose in range(6)]
    label = fundus_label(settings, subset, index)
    camera = CAMERAS[0].towards(CAMERAS[1], settings.camera_difference * (subset > 0))
    width, height = settings.size, round(settings.size * 2056 / 2124) if subset == 0 else settings.size
    scene = sample_eye(settings, width, height, bool(label), streams[_EYE])
    picture = _paint_retina(scene, settings.lesions, streams[_LOOK])
    _paint_disc(picture, scene, settings, streams[_LOOK])
    if settings.vessels:
        _paint_vessels(picture, scene, sample_vessels(scene, streams[_VESSELS]))
    hazy = bool(streams[_HAZE].random() < settings.hazy_fraction)
    picture = _take(picture, scene, camera, streams[_LOOK], streams[_HAZE] if hazy else None)
    picture += streams[_NOISE].normal(0, settings.noise / 255, picture.shape)
    image = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    x, y = _grid(scene)
    mask = np.where(scene.cup.radius(x, y) <= 1, CUP, np.where(scene.disc.radius(x, y) <= 1, RIM, BACKGROUND))
    return FundusSample(image, mask.astype(np.uint8), label, hazy, camera, scene)


def _stream(settings: FundusSettings, subset: int, number: int, purpose: int) -> Generator:
    return np.random.default_rng([settings.seed, subset, number, purpose])


def _grid(scene: FundusScene) -> tuple[Floats, Floats]:
    """Return the pixels' centres, x (1, W) and y (H, 1)."""
    x, y = (np.arange(size, dtype=np.float64) + 0.5 for size in (scene.width, scene.height))
    return x[None], y[:, None]


def _blend(picture: Floats, colour: Floats, share: Floats) -> None:
    """Mix a colour into a picture (H, W, 3), by a share (H, W) from 0 to 1."""
    picture += share[..., None] * (colour - picture)


def _inside(ellipse: Ellipse, x: Floats, y: Floats, softness: float) -> Floats:
    """Return 1 inside and 0 outside of an ellipse, with a ramp of the given width in pixels across its border."""
    size = (ellipse.a * ellipse.b) ** 0.5
    return np.clip(0.5 - (ellipse.radius(x, y) - 1) * size / softness, 0, 1)


def _paint_retina(scene: FundusScene, lesions: bool, rng: Generator) -> Floats:
    """Return the ground of the eye with its macula, and spots in some eyes: (H, W, 3)."""
    x, y = _grid(scene)
    shape, size = (scene.height, scene.width), scene.width
    texture = sum(gaussian_filter(rng.normal(size=shape), size * s) * size * s for s in (0.012, 0.05))
    colour = RETINA * rng.uniform(0.88, 1.12, 3) * rng.uniform(0.9, 1.1)
    picture = colour * (1 + 0.1 * np.asarray(texture))[..., None]
    distance = np.hypot(x - scene.macula[0], y - scene.macula[1]) / (rng.uniform(0.12, 0.18) * size)
    picture *= 1 - np.array([0.35, 0.5, 0.4]) * np.exp(-(distance**2))[..., None]
    # Drawn in any case, so that leaving them out changes nothing else.
    spots = rng.random((12, 5))
    for spot in spots[: int(rng.integers(0, 13)) if rng.random() < 0.4 else 0]:
        a, b = size * (0.006 + 0.02 * spot[2:4])
        ellipse = Ellipse(spot[0] * size, spot[1] * scene.height, a, b, spot[4] * 3)
        bright = spot[4] < 0.5
        if lesions:
            _blend(picture, PALE * 0.9 if bright else VEIN, 0.75 * _inside(ellipse, x, y, size * 0.012))
    return picture


def _paint_disc(picture: Floats, scene: FundusScene, settings: FundusSettings, rng: Generator) -> None:
    """Paint rim and cup, and a pale crescent at the temporal side of some discs."""
    x, y = _grid(scene)
    disc, softness = scene.disc, max(0.012 * scene.width, 1.2)
    crescent, shift = rng.random() < 0.3, rng.uniform(0.08, 0.25)
    if crescent and settings.lesions:
        pale = Ellipse(disc.x + scene.temporal * shift * disc.a, disc.y, disc.a * 1.08, disc.b * 1.05, disc.angle)
        _blend(picture, DISC * 0.9, 0.4 * _inside(pale, x, y, softness))
    rim = DISC * rng.uniform(0.92, 1.06, 3)
    _blend(picture, rim, 0.9 * _inside(disc, x, y, softness))
    cup = rim + settings.cup_contrast * rng.uniform(0.7, 1.0) * (PALE * rng.uniform(0.97, 1.03) - rim)
    _blend(picture, cup, 0.95 * _inside(scene.cup, x, y, 1.5 * softness))


def _paint_vessels(picture: Floats, scene: FundusScene, vessels: list[Vessel]) -> None:
    """Paint veins, then arteries."""
    for vein, colour in ((True, VEIN), (False, ARTERY)):
        canvas = Image.new("L", (scene.width * SUPERSAMPLING, scene.height * SUPERSAMPLING))
        draw = ImageDraw.Draw(canvas)
        for vessel in (vessel for vessel in vessels if vessel.vein == vein):
            points = (vessel.points * SUPERSAMPLING).tolist()
            for start, end, width in zip(points, points[1:], vessel.widths.tolist(), strict=False):
                draw.line((*start, *end), fill=255, width=max(round(width * SUPERSAMPLING), 1))
        share = np.asarray(canvas.reduce(SUPERSAMPLING), dtype=np.float64) / 255
        _blend(picture, colour, 0.75 * share)


def _take(picture: Floats, scene: FundusScene, camera: Camera, look: Generator, haze: Generator | None) -> Floats:
    """Return the photograph of an eye: light, lens, haze and the round field."""
    x, y = _grid(scene)
    field = 0.98 * scene.width / 2
    distance = np.hypot(x - scene.width / 2, y - scene.height / 2) / field
    direction, slope = look.uniform(-np.pi, np.pi), look.uniform(0, 0.2)
    tilt = slope * ((x / scene.width - 0.5) * np.cos(direction) + (y / scene.height - 0.5) * np.sin(direction))
    light = look.uniform(0.9, 1.1) * (1 + tilt) * (1 - camera.vignetting * np.clip(distance, 0, 1) ** 2)
    picture = picture * light[..., None] * np.array(camera.gain)
    blur = camera.blur * scene.width
    if haze is not None:
        density = haze.uniform(0.3, 0.7)
        picture = picture + density * (VEIL - picture)
        blur += haze.uniform(0.008, 0.022) * scene.width
    picture = gaussian_filter(picture, (blur, blur, 0))
    edge = np.clip((1 - distance) * field / 1.5, 0, 1)
    return picture * edge[..., None] + 0.015 * (1 - edge[..., None])
