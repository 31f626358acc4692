"""Generate data sets that need no licence: `python -m scripts.phantom <name> --out <folder>`; see --help."""

import sys
import time
from collections.abc import Sequence

import fire

from common.data.phantoms import (
    ChestSettings,
    FundusSettings,
    MammogramSettings,
    ShapesSettings,
    write_chests,
    write_fundus,
    write_mammograms,
    write_shapes,
)
from scripts.phantom_exams import exams
from scripts.phantom_summary import print_summary

Pair = int | tuple[int, int]
Range = float | tuple[float, float]
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
    print_summary(out, settings.count, settings.seed, time.perf_counter() - start if written else None)


def fundus(
    out: str,
    preset: str = "standard",
    count: int | tuple[int, int, int] | None = None,
    size: int | None = None,
    seed: int | None = None,
    positive_fraction: float | None = None,
    healthy: float | tuple[float, float] | None = None,
    glaucoma: float | tuple[float, float] | None = None,
    disc: float | tuple[float, float] | None = None,
    cup_contrast: float | None = None,
    camera_difference: float | None = None,
    vessels: bool | None = None,
    lesions: bool | None = None,
    hazy_fraction: float | None = None,
    noise: float | None = None,
    table: str | None = None,
    **unknown: object,
) -> None:
    """Photographs of the back of an eye; the cup's height against the disc's decides between glaucoma and not.

    Try:

      python -m scripts.phantom fundus --out data/fundus
          400 photographs, 160 pixels wide: 240 for training, 80 for validation, 80 for test.

      python -m scripts.phantom fundus --out data/fundus --preset demo
          600 smaller pictures, taken closer to the disc, for a first training.

      python -m scripts.phantom fundus --out data/fundus --healthy 0.3,0.55 --glaucoma 0.56,0.8 --hazy_fraction 0.3
          Harder: nearly no margin between the classes, a third of the pictures hazy.

    Writes the raw layout of REFUGE: JPEG images, BMP masks (0 cup, 128 disc rim, 255 background), label sheets; then
    datalist.json as `python -m scripts.prepare refuge --crop 2.5` makes it, and phantom.json (the settings). The same
    command again does nothing; other settings make the folder anew. An image depends only on the settings, the seed,
    its subset and its number: a larger --count adds images and changes none.

    A range is two numbers, both included: --disc 0.2,0.3; a single number fixes it: --disc 0.25.

    Args:
        out: folder to write; made if needed, refused if it holds anything else.
        preset: settings to start from: standard (the defaults in brackets below), demo (600 small pictures of large
            discs) or refuge (400 images a subset, one in ten with glaucoma, spreadsheets). Every option below overrides
            the preset.
        count: images for training, validation and test, or one number for each of them [240,80,80].
        size: width of the images in pixels [160].
        seed: another seed, another data set [0].
        positive_fraction: share of glaucoma in each subset, met exactly [0.5].
        healthy: height of the cup / height of the disc without glaucoma [0.3,0.5].
        glaucoma: the same with glaucoma; the gap between the two is the margin [0.6,0.8].
        disc: height of the disc / width of the image [0.22,0.3].
        cup_contrast: how much paler the cup is than the rim, 0 to 1 [1].
        camera_difference: how much validation and test come from another camera than training, 0 to 1 [1].
        vessels: have vessels, which cross the disc [True].
        lesions: have spots and pale crescents that mean nothing [True].
        hazy_fraction: share of images taken through a clouded lens, whose cup is hard to see [0.1].
        noise: standard deviation of Gaussian noise, in grey levels of 255 [4].
        table: format of the label sheets: csv, or xlsx as in REFUGE (needs pandas and openpyxl) [csv].
        unknown: accepted by the parser only: a name that is not in this list is refused, with a suggestion.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    for name in ("out", "preset", "unknown"):
        given.pop(name)
    settings = FundusSettings.from_options({**given, **unknown}, preset)
    start = time.perf_counter()
    written = write_fundus(settings, str(out))
    print_summary(out, sum(settings.count), settings.seed, time.perf_counter() - start if written else None)


def mammograms(
    out: str,
    preset: str = "standard",
    count: int | None = None,
    size: tuple[int, int] | None = None,
    seed: int | None = None,
    positive_fraction: float | None = None,
    radius: Range | None = None,
    contrast: float | None = None,
    spicules: Pair | None = None,
    spicule_length: Range | None = None,
    round_fraction: float | None = None,
    islands: Pair | None = None,
    vessels: Pair | None = None,
    density: Range | None = None,
    monochrome1_fraction: float | None = None,
    markers: bool | None = None,
    noise: float | None = None,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    **unknown: object,
) -> None:
    """Mammograms as DICOM; a mass with spicules is malignant, a smooth round one or none is benign.

    Try:

      python -m scripts.phantom mammograms --out data/mammograms
          400 images of 192 x 96 pixels: two views of 200 breasts of 150 women.

      python -m scripts.phantom mammograms --out data/mammograms --preset demo
          480 smaller images with larger masses in less dense breasts, for a first training.

      python -m scripts.phantom mammograms --out data/mammograms --preset screening --count 1000
          Small, faint masses in dense breasts, 384 x 192 pixels.

    Writes the raw layout of CMMD: DICOM files with the tags of real mammograms, some of them MONOCHROME1, and the sheet
    CMMD_clinicaldata_revision.csv; then masks/ and regions.csv (all masses), datalist.json as `scripts.prepare cmmd`
    makes it (only malignant masses are regions of interest), and phantom.json (the settings). The same command again
    does nothing; other settings make the folder anew. Image i depends only on the settings, the seed and i.

    A range is two numbers, both included: --islands 0,3; a single number fixes it: --islands 2.

    Args:
        out: folder to write; made if needed, refused if it holds anything else.
        preset: settings to start from: standard (the defaults in brackets below), demo (easier and smaller) or
            screening (harder and larger). Every option below overrides the preset.
        count: number of images, two views of each breast [400].
        size: height and width in pixels [192,96].
        seed: another seed, another data set [0].
        positive_fraction: share of breasts with a malignant mass; exact if count is a multiple of 4 [0.5].
        radius: of the masses without spicules, in shares of the image's height [0.032,0.05].
        contrast: how much brighter than the tissue masses and islands are; 1 is easy, 0.4 hard [1].
        spicules: number of spicules of a malignant mass [10,16].
        spicule_length: how far they reach from the centre, in radii of the mass [1.7,2.5].
        round_fraction: share of benign breasts with a smooth mass; the others only have calcifications [0.6].
        islands: islands of dense tissue in an image, as large as a mass but without its border [0,3].
        vessels: vessels and ligaments across a breast, as thin as spicules [2,5].
        density: share of dense tissue, 0 to 1 [0,0.6].
        monochrome1_fraction: share of files that store black as the largest value [0.25].
        markers: write side and view beside the breast [True].
        noise: standard deviation of Gaussian noise, in shares of the brightest value [0.012].
        validation_fraction: share of images for validation, by patient [0.15].
        test_fraction: share of images for testing, by patient [0.25].
        unknown: accepted by the parser only: a name that is not in this list is refused, with a suggestion.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    for name in ("out", "preset", "unknown"):
        given.pop(name)
    settings = MammogramSettings.from_options({**given, **unknown}, preset)
    start = time.perf_counter()
    written = write_mammograms(settings, str(out))
    print_summary(out, settings.count, settings.seed, time.perf_counter() - start if written else None)


def chest(
    out: str,
    preset: str = "standard",
    count: int | None = None,
    size: int | None = None,
    seed: int | None = None,
    healthy_fraction: float | None = None,
    co_occurrence: float | None = None,
    resolved_fraction: float | None = None,
    mass: Range | None = None,
    nodule: Range | None = None,
    contrast: float | None = None,
    leads_fraction: float | None = None,
    noise: float | None = None,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    **unknown: object,
) -> None:
    """Chest X-rays with up to three of six findings at once, and a box for each of them.

    Try:

      python -m scripts.phantom chest --out data/chest
          800 images of 256 x 256 pixels of 500 people.

      python -m scripts.phantom chest --out data/chest --preset demo
          960 smaller images with larger nodules and stronger findings, for a first training.

      python -m scripts.phantom chest --out data/chest --co_occurrence 0.9 --healthy_fraction 0.1
          Findings rarely come alone, so that one is easily taken for another.

    The findings are Cardiomegaly, Effusion, Infiltration, Mass, Nodule and Pneumothorax; some go together, each also
    occurs alone.

    Writes the raw layout of ChestX-ray14: images/, Data_Entry_2017_v2020.csv, BBox_List_2017.csv (boxes as in images of
    1024 pixels), train_val_list.txt and test_list.txt; then datalist.json as `scripts.prepare chestxray14` makes it,
    and phantom.json (the settings). The same command again does nothing; other settings make the folder anew. Image i
    depends only on the settings, the seed and i.

    A range is two numbers, both included: --mass 0.05,0.08; a single number fixes it: --mass 0.06.

    Args:
        out: folder to write; made if needed, refused if it holds anything else.
        preset: settings to start from: standard (the defaults in brackets below) or demo (easier and smaller). Every
            option below overrides the preset.
        count: number of images, eight of each five people [800].
        size: height and width in pixels [256].
        seed: another seed, another data set [0].
        healthy_fraction: share of people without finding [0.3].
        co_occurrence: how often a finding brings another one that goes with it, 0 to 1 [0.6].
        resolved_fraction: share of a person's findings that have gone in each later image [0.25].
        mass: radius of a mass, in shares of the image's side [0.05,0.085].
        nodule: radius of a nodule, in the same shares [0.014,0.024].
        contrast: how much findings differ from what is round them; 1 is easy, 0.5 hard [1].
        leads_fraction: share of images with electrodes and their leads, which mean nothing [0.25].
        noise: standard deviation of Gaussian noise, in shares of the brightest value [0.015].
        validation_fraction: share of images for validation, by patient [0.15].
        test_fraction: share of images for testing, by patient [0.25].
        unknown: accepted by the parser only: a name that is not in this list is refused, with a suggestion.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    for name in ("out", "preset", "unknown"):
        given.pop(name)
    settings = ChestSettings.from_options({**given, **unknown}, preset)
    start = time.perf_counter()
    written = write_chests(settings, str(out))
    print_summary(out, settings.count, settings.seed, time.perf_counter() - start if written else None)


PHANTOMS = {"shapes": shapes, "fundus": fundus, "mammograms": mammograms, "chest": chest, "exams": exams}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; a mistake in the arguments is told in one line, not as a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        fire.Fire(PHANTOMS, command=given, name="scripts.phantom")
    except fire.core.FireExit as stop:
        # Fire calls it an error when help is asked for without the arguments that a run would need.
        return 0 if "--help" in given else int(stop.code or 0)
    except (ValueError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
