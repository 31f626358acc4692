"""What the commands of `python -m scripts.phantom` say in the end."""

from pathlib import Path

from common.data.datalist import describe_datalist

__all__ = ["print_summary"]


def print_summary(out: str, count: int, seed: int, seconds: float | None, unit: str = "images") -> None:
    """Print what was made, and where."""
    if seconds is None:
        print(f"{out} is up to date: {count} {unit} with these settings are there, nothing was done.")
    else:
        print(f"{count} {unit} in {seconds:.1f} s, seed {seed}:")
    datalist = Path(str(out)) / "datalist.json"
    print(f"{describe_datalist(datalist)}\nData list: {datalist}")
