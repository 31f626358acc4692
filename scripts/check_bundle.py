"""``python -m scripts.check_bundle``: hold bundles against the contract."""

import sys

import fire

from common.utils.bundle_check import check_bundle
from common.utils.messages import print_causes_last


def main(*folders: str, quick: bool = False) -> None:
    """Check that bundle folders keep the contract, and say what breaks it.

    Prints one line per rule, with a tick or a cross, and below a cross what to mend. Ends with status 1 if any rule is
    broken. Nothing is trained, downloaded or changed. The rules are those that MONAI's own checks and model collection
    ask for, plus this repository's: the same ids in every bundle, no code, no machine paths, known names only, and a
    network whose outputs are what the metadata says.

    Examples:
        python -m scripts.check_bundle bundles/xml_explainer_classification
        python -m scripts.check_bundle bundles/* --quick

    Args:
        folders: one or more bundle folders.
        quick: skip the rules that build the network; about a second per bundle.
    """
    if not folders:
        sys.exit("Which bundle? For example: python -m scripts.check_bundle bundles/xml_explainer_classification")
    broken = 0
    for folder in folders:
        print(folder)
        for finding in check_bundle(folder, quick):
            print(f"  {'✗' if finding.problems else '✓'} {finding.rule}")
            for problem in finding.problems:
                print(f"      {problem}")
            broken += bool(finding.problems)
    if broken:
        sys.exit(f"{broken} rule{'s' if broken > 1 else ''} broken")


if __name__ == "__main__":
    print_causes_last()
    fire.Fire(main)
