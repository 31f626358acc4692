"""Turn a data set into the datalist that every bundle reads: `python -m scripts.prepare <source> --root <folder>`."""

import inspect
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fire

from common.data.datalist import describe_datalist
from common.data.datalist_checks import suggestion
from common.data.errors import DatalistError
from common.data.sources import (
    brain_mr_cheng,
    brats_slices,
    cbis_ddsm,
    chestxray14,
    cmmd,
    csv_table,
    exam_manifest,
    idrid_grading,
    idrid_lesions,
    imagenet_hvz,
    inbreast,
    isic2017,
    isic_uda1,
    ispy1,
    mammography_exams,
    medmnist,
    nci_cervical,
    oct_folders,
    odir,
    openi,
    refuge,
    vindr_mammo,
)


class Prepare:
    """Turn a data set into a datalist: one JSON file that names every case, its label and its split.

    Choose the source, then ask it what it needs:

        python -m scripts.prepare csv --help

    Your own images with a table are the source csv. The result, ROOT/datalist.json unless --out says otherwise, is
    what a bundle takes:

        python -m monai.bundle run --config_file bundles/<name>/configs/train.json --dataset_dir ROOT
    """

    csv = staticmethod(csv_table.convert)
    medmnist = staticmethod(medmnist.convert)
    imagenet_hvz = staticmethod(imagenet_hvz.convert)
    nci_cervical = staticmethod(nci_cervical.convert)
    brain_mr_cheng = staticmethod(brain_mr_cheng.convert)
    refuge = staticmethod(refuge.convert)
    ispy1 = staticmethod(ispy1.convert)
    isic2017 = staticmethod(isic2017.convert)
    isic_uda1 = staticmethod(isic_uda1.convert)
    cmmd = staticmethod(cmmd.convert)
    vindr_mammo = staticmethod(vindr_mammo.convert)
    cbis_ddsm = staticmethod(cbis_ddsm.convert)
    inbreast = staticmethod(inbreast.convert)
    oct_folders = staticmethod(oct_folders.convert)
    brats_slices = staticmethod(brats_slices.convert)
    chestxray14 = staticmethod(chestxray14.convert)
    odir = staticmethod(odir.convert)
    idrid_grading = staticmethod(idrid_grading.convert)
    idrid_lesions = staticmethod(idrid_lesions.convert)
    exams = staticmethod(exam_manifest.convert)
    mammography_exams = staticmethod(mammography_exams.convert)
    openi = staticmethod(openi.convert)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; what is wrong with the data or the options is told in one message, without a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        check_options(given)
        fire.Fire(Prepare, command=given, name="scripts.prepare", serialize=report)
    except (DatalistError, ImportError, OSError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def check_options(arguments: Sequence[str]) -> None:
    """Refuse sources and options that do not exist; fire would notice them only after the work is done.

    Raises:
        DatalistError: names the first unknown one and the closest that exists.
    """
    sources = [name for name in vars(Prepare) if not name.startswith("_")]
    if not arguments or arguments[0].startswith("-"):
        return
    if arguments[0] not in sources:
        raise DatalistError(f"there is no source '{arguments[0]}'{suggestion(arguments[0], sources)}")
    known = list(inspect.signature(getattr(Prepare, arguments[0])).parameters)
    for argument in arguments[1:]:
        name = argument.removeprefix("--").partition("=")[0].replace("-", "_")
        if argument.startswith("--") and name not in {*known, "help", ""}:
            raise DatalistError(f"{arguments[0]} has no option '--{name}'{suggestion(name, known)}")


def report(result: Any) -> Any:
    """Return what to print: for a datalist, its numbers and its place."""
    return f"{describe_datalist(result)}\nData list: {result}" if isinstance(result, Path) else result


if __name__ == "__main__":
    sys.exit(main())
