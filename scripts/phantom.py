"""Generate data sets that need no licence: `python -m scripts.phantom <name> --out <folder>`; see --help."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import fire

from common.data.datalist import describe_datalist
from common.data.phantoms import ShapesSettings, write_shapes

Pair = int | tuple[int, int]
Colour = int | tuple[int, int, int]


def shapes(
    out: str,
    preset: str = "standard",
    count: int | None = None,
    size: Pair | None = None,
    channels: int | None = None,
    seed: int | None = None,
    target: str | None = None,
    outside: str | None = None,
    shapes: Pair | None = None,
    targets: Pair | None = None,
    vertices: Pair | None = None,
    radius: float | tuple[float, float] | None = None,
    circles: bool | None = None,
    simplified: bool | None = None,
    rotation: bool | None = None,
    keep_inside: bool | None = None,
    overlap: bool | None = None,
    stroke: float | None = None,
    filled: bool | None = None,
    background: Colour | None = None,
    colour: Colour | None = None,
    target_colour: Colour | None = None,
    noise: float | None = None,
    positive_fraction: float | None = None,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    mask: str | None = None,
    tries: int | None = None,
    **unknown: object,
) -> None:
    """Outlined shapes; an image is positive when the target figure is among them. Two masks, boxes and a data list.

    Try:

      python -m scripts.phantom shapes --out data/shapes
          800 images of 96 x 96: is there a triangle among the five to seven shapes?

      python -m scripts.phantom shapes --out data/shapes --count 600 --size 96 --seed 0 --noise 20 --stroke 1.5
          The same task, harder to see.

      python -m scripts.phantom shapes --out data/stars --target 5/2 --shapes 4,8 --radius 8,14 --targets 1,2
          One or two five-pointed stars among four to eight shapes.

      python -m scripts.phantom shapes --out data/demo --preset demo
          Smaller and easier images, for a first training.

      python -m scripts.phantom shapes --out data/encircled --preset encircled --count 200
          A square counts only inside a circle.

    Writes images/, masks/ (a box mask and an exact one for each image), data.csv, datalist.json (for the bundles) and
    phantom.json (the settings). The same command again does nothing; other settings make the folder anew. Image i
    depends only on the settings, the seed and i: a larger --count adds images and changes none.

    A figure is 'circle' or p/q: p corners, each joined to the q-th next one (3/1 triangle, 4/1 square, 5/2 star).
    A range is two numbers, both included: --shapes 4,8; a single number fixes it: --shapes 6.
    A colour is a grey level, --background 0, or red, green, blue: --target_colour 0,128,0.

    Args:
        out: folder to write; made if needed, refused if it holds anything else.
        preset: settings to start from: standard (the defaults in brackets below), demo (1200 small images of triangles,
            circles and hexagons, learnt in a minute or two), reference (twenty thin shapes on 224 x 224, find the
            circle) or encircled (a square inside a circle). Every option below overrides the preset.
        count: number of images [800].
        size: height and width in pixels, or one number for both [96].
        channels: 3 for colour, 1 for grey [3].
        seed: another seed, another data set [0].
        target: the figure to find [3/1].
        outside: if given, a target counts only inside this figure, with the same centre; near misses are drawn [none].
        shapes: shapes in an image, targets included [5,7].
        targets: targets in a positive image [1].
        vertices: corners of the other shapes [3,6].
        radius: of the circumscribed circles, in pixels [9,16].
        circles: have circles among the other shapes [True].
        simplified: have nothing but circles as other shapes: an easy task [False].
        rotation: turn every shape at random [True].
        keep_inside: keep shapes entirely on the canvas [True].
        overlap: let shapes overlap [False].
        stroke: thickness of the outlines in pixels; thinner is harder [2].
        filled: fill the shapes; easier than outlines [False].
        background: colour of the canvas [255].
        colour: colour of the outlines [255 - background].
        target_colour: colour of the targets; a colour of their own makes them very easy to find [as colour].
        noise: standard deviation of Gaussian noise, in grey levels of 255 [0].
        positive_fraction: share of images with a target, met exactly [0.5].
        validation_fraction: share of images for validation [0.15].
        test_fraction: share of images for testing [0.25].
        mask: the mask that datalist.json names: box or shape [box].
        tries: attempts to find a place for a shape before the arrangement is begun again [100].
        unknown: accepted by the parser only: a name that is not in this list is refused, with a suggestion.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    for name in ("out", "preset", "unknown"):
        given.pop(name)
    settings = ShapesSettings.from_options({**given, **unknown}, preset)
    start = time.perf_counter()
    written = write_shapes(settings, str(out))
    if written:
        print(f"{settings.count} images in {time.perf_counter() - start:.1f} s, seed {settings.seed}:")
    else:
        print(f"{out} is up to date: {settings.count} images with these settings are there, nothing was done.")
    datalist = Path(str(out)) / "datalist.json"
    print(f"{describe_datalist(datalist)}\nData list: {datalist}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; a mistake in the arguments is told in one line, not as a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        fire.Fire({"shapes": shapes}, command=given, name="scripts.phantom")
    except fire.core.FireExit as stop:
        # Fire calls it an error when help is asked for without the arguments that a run would need.
        return 0 if "--help" in given else int(stop.code or 0)
    except (ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
