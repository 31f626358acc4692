"""The command `python -m scripts.phantom exams`."""

import time

from common.data.phantoms import ExamSettings, write_exams
from scripts.phantom_summary import print_summary

__all__ = ["exams"]

Pair = int | tuple[int, int]
Range = float | tuple[float, float]


def exams(
    out: str,
    preset: str = "moderate",
    count: int | tuple[int, int, int] | None = None,
    size: int | None = None,
    seed: int | None = None,
    mass_fraction: float | None = None,
    calcification_fraction: float | None = None,
    distortion_fraction: float | None = None,
    asymmetry_fraction: float | None = None,
    most_findings: int | None = None,
    radius: Range | None = None,
    mass_contrast: Range | None = None,
    specks: Pair | None = None,
    speck_contrast: Range | None = None,
    distortion_contrast: Range | None = None,
    asymmetry_contrast: Range | None = None,
    islands: Pair | None = None,
    island_contrast: Range | None = None,
    vessels: Pair | None = None,
    lone_specks: Pair | None = None,
    folds_fraction: float | None = None,
    missing_fraction: float | None = None,
    noise: float | None = None,
    held_out: bool | None = None,
    shuffled: bool | None = None,
    language: str | None = None,
    omitted: float | None = None,
    irrelevant: float | None = None,
    typos: float | None = None,
    training_masks: bool | None = None,
    **unknown: object,
) -> None:
    """Mammography exams of up to four views with two reports each; image and report tell of the same findings.

    Try:

      python -m scripts.phantom exams --out data/exams --preset small
          200 exams, for a trial run.

      python -m scripts.phantom exams --out data/exams
          4700 exams of four views of 96 x 96 pixels: 4000 for training, 200 for validation, 500 for test.

      python -m scripts.phantom exams --out data/exams --preset hard --count 8000,200,500
          Findings as faint as what looks like one.

      python -m scripts.phantom exams --out data/exams --language nl --typos 0.02
          Reports in Dutch, with slips.

    The findings are mass, calcification and distortion (and asymmetry, on request), each in one place of the breast
    that CC and MLO show from two directions. Islands, vessels, lone specks and folds look like findings; no report
    speaks of them.

    Writes images/ (DICOM files with the tags of real mammograms), exams.csv (reports, views, labels and the hidden
    description of each exam), truth/ (masks of the findings of validation and test exams, on request of all),
    datalist.json as `scripts.prepare exams` makes it, and phantom.json (the settings). The same command again does
    nothing; other settings make the folder anew. An exam depends only on the settings, the seed, its split and its
    number: a larger --count adds exams and changes none.

    A range is two numbers, both included: --radius 0.03,0.05; a single number fixes it: --radius 0.04. Contrasts and
    noise are shares of white.

    Args:
        out: folder to write; made if needed, refused if it holds anything else.
        preset: settings to start from: moderate (the defaults in brackets below), middle (faint calcifications), hard
            (everything faint), full (2800 exams of 256 pixels with all there is) or small (200 exams). Every option
            below overrides the preset.
        count: exams for training, validation and test, or one number for each of them [4000,200,500].
        size: height and width in pixels [96].
        seed: another seed, another data set [0].
        mass_fraction: share of breasts that are given a mass, at most [0.35].
        calcification_fraction: the same for calcifications [0.35].
        distortion_fraction: the same for architectural distortion [0.15].
        asymmetry_fraction: the same for asymmetry; at 0 the data set does not know it [0].
        most_findings: of a breast; what is drawn beyond it is left out [2].
        radius: of a mass, in shares of the image's side [0.035,0.08].
        mass_contrast: how much brighter than the tissue masses are [0.2,0.38].
        specks: number of specks of a group of calcifications [7,19].
        speck_contrast: the same of these specks [0.3,0.6].
        distortion_contrast: the same of the lines of a distortion [0.1,0.2].
        asymmetry_contrast: the same of an asymmetry [0.1,0.18].
        islands: islands of dense tissue in an image, as large as a mass [1,3].
        island_contrast: the same of these [0.12,0.3].
        vessels: vessels in an image [0,2].
        lone_specks: single specks in an image, as bright as calcifications [0,2].
        folds_fraction: share of oblique images with a fold of the skin [0].
        missing_fraction: share of exams without some of their views [0].
        noise: standard deviation of the noise in tissue of medium brightness [0.025].
        held_out: leave some combinations of descriptor, quadrant and side out of all but the test exams [True].
        shuffled: give every training exam the reports of another one, as a control [False].
        language: of the reports: en or nl [en].
        omitted: share of findings that a report forgets [0.05].
        irrelevant: chance of a sentence about nothing, before and again after the findings [0.1].
        typos: share of the longer words with a slip [0].
        training_masks: write the masks of the training exams too, to learn segmentation from [False].
        unknown: accepted by the parser only: a name that is not in this list is refused, with a suggestion.
    """
    given = {name: value for name, value in locals().items() if value is not None}
    for name in ("out", "preset", "unknown"):
        given.pop(name)
    settings = ExamSettings.from_options({**given, **unknown}, preset)
    start = time.perf_counter()
    written = write_exams(settings, str(out))
    print_summary(out, sum(settings.count), settings.seed, time.perf_counter() - start if written else None, "exams")
