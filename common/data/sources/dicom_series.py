"""Read a contrast-enhanced examination from DICOM: slices of several phases, and a DICOM segmentation."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.data.errors import CaseError
from common.data.sources.dynamic_series import DynamicSeries

TOLERANCE = 0.05  # mm; positions in headers are rounded


@dataclass(frozen=True)
class _Phase:
    """The slices of one moment, ordered along the normal: paths beside their headers."""

    slices: tuple[tuple[Path, Any], ...]

    @property
    def grid(self) -> tuple[Any, ...]:
        """What must be equal for voxels to correspond."""
        first, last = self.slices[0][1], self.slices[-1][1]
        geometry = [*first.ImagePositionPatient, *last.ImagePositionPatient, *first.ImageOrientationPatient]
        return (len(self.slices), first.Rows, first.Columns, *(round(float(value), 1) for value in geometry))


def read_dicom_series(
    folder: Path, wanted: Sequence[int], series: str | None = None, segment: str | None = None
) -> DynamicSeries:
    """Read the phases of a patient's earliest examination and its segmentation.

    Phases are the repetitions of slice positions within a series (by temporal position, then acquisition time), or
    else several series of the same grid (by acquisition time). Derived images are left out.

    Args:
        folder: the patient's folder, searched with its sub-folders.
        wanted: phases to take, numbered from 1 in order of time.
        series: regular expression that SeriesDescription must contain; needed where several series fit.
        segment: regular expression for the SegmentLabel; needed where a segmentation has several.

    Raises:
        CaseError: if there is no or more than one answer, or something is missing or damaged.
    """
    headers = _earliest_study(folder, _headers(folder))
    phases = _phases(folder, headers, max(wanted), series)
    chosen = [phases[number - 1] for number in wanted]
    segmentations = [path for path, header in headers if header.get("Modality") == "SEG"]
    if len(segmentations) != 1:
        what = f"its earliest examination has {len(segmentations)} segmentations (Modality SEG), expected one"
        raise CaseError(str(folder), what, "Leave one file there, or leave the case out")
    volumes = [np.stack([_pixels(path) for path, _ in phase.slices]) for phase in chosen]
    tumour = _tumour(segmentations[0], [header for _, header in chosen[0].slices], segment)
    return DynamicSeries(folder, np.stack(volumes), tumour)


def _headers(folder: Path) -> list[tuple[Path, Any]]:
    import pydicom
    from pydicom.misc import is_dicom

    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)]
    headers = [(path, pydicom.dcmread(path, stop_before_pixels=True)) for path in files]
    headers = [(path, header) for path, header in headers if "StudyInstanceUID" in header]
    if not headers:
        what = "it holds neither DCEMRI_<n>.nii files nor DICOM files"
        raise CaseError(str(folder), what, "Unpack the archive again, or leave the case out")
    return headers


def _earliest_study(folder: Path, headers: list[tuple[Path, Any]]) -> list[tuple[Path, Any]]:
    dates = {h.StudyInstanceUID: (str(h.get("StudyDate", "")), str(h.get("StudyTime", ""))) for _, h in headers}
    first = min(dates, key=lambda uid: (dates[uid], uid))
    return [(path, header) for path, header in headers if header.StudyInstanceUID == first]


def _phases(folder: Path, headers: list[tuple[Path, Any]], needed: int, pattern: str | None) -> list[_Phase]:
    """Return the phases in order of time, from the one series or set of series that has enough."""
    by_series: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for path, header in headers:
        derived = "DERIVED" in header.get("ImageType", [])
        wanted = pattern is None or re.search(pattern, str(header.get("SeriesDescription", "")), re.IGNORECASE)
        if header.get("Modality") == "MR" and "ImagePositionPatient" in header and not derived and wanted:
            by_series[header.SeriesInstanceUID].append((path, header))
    split = [_by_moment(folder, members) for members in by_series.values()]
    found = [phases for phases in split if len(phases) >= needed]
    if not found:  # a series for each phase
        by_grid: dict[tuple[Any, ...], list[_Phase]] = defaultdict(list)
        for phase in (phase for phases in split for phase in phases):
            by_grid[phase.grid].append(phase)
        found = [sorted(p, key=lambda phase: _moment(phase.slices[0][1])) for p in by_grid.values() if len(p) >= needed]
    if len(found) != 1:
        names = sorted({f"'{header.get('SeriesDescription', '')}'" for _, header in headers})
        what = f"{len(found) or 'no'} series fit as {needed} contrast phases on one grid, expected one"
        remedy = f"Name it with --series <part of its description>; there are {', '.join(names)}"
        raise CaseError(str(folder), what, remedy)
    return found[0]


def _by_moment(folder: Path, members: list[tuple[Path, Any]]) -> list[_Phase]:
    """Divide a series into the moments it was acquired at."""
    places: dict[int, list[tuple[Path, Any]]] = defaultdict(list)
    for path, header in members:
        places[round(_height(header) / TOLERANCE)].append((path, header))
    counts = {len(repetitions) for repetitions in places.values()}
    if len(counts) != 1:
        name = members[0][1].get("SeriesDescription", "")
        what = f"the slices of series '{name}' are there between {min(counts)} and {max(counts)} times"
        raise CaseError(str(folder), what, "Copy the missing files, or leave the case out")
    ordered = [sorted(places[place], key=lambda member: _moment(member[1])) for place in sorted(places)]
    return [_Phase(tuple(slices)) for slices in zip(*ordered, strict=True)]


def _height(header: Any) -> float:
    """Return where a slice lies along its normal, in mm."""
    orientation = np.asarray(header.ImageOrientationPatient, dtype=float)
    return float(np.cross(orientation[:3], orientation[3:]) @ np.asarray(header.ImagePositionPatient, dtype=float))


def _moment(header: Any) -> tuple[float, ...]:
    """Return what orders acquisitions in time; tags that are missing do not count."""
    tags = ("TemporalPositionIdentifier", "AcquisitionTime", "ContentTime", "TriggerTime", "SeriesNumber")
    numbers = [header.get(tag) for tag in (*tags, "AcquisitionNumber", "InstanceNumber")]
    return tuple(float(number) if number not in (None, "") else 0.0 for number in numbers)


def _pixels(path: Path) -> NDArray[np.float32]:
    import pydicom
    from pydicom.pixels import apply_modality_lut

    try:
        dataset = pydicom.dcmread(path)
        return apply_modality_lut(dataset.pixel_array, dataset).astype(np.float32)
    except Exception as error:  # decoders raise anything on damaged files
        raise CaseError(str(path), f"the DICOM file is damaged or cut short ({error})", "Copy it again") from None


def _tumour(path: Path, slices: Sequence[Any], pattern: str | None) -> NDArray[np.bool_]:
    """Return the segmentation's frames on the grid of the slices, (Z, H, W); nothing between them."""
    import pydicom

    try:
        dataset = pydicom.dcmread(path)
        frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns) > 0
    except Exception as error:
        raise CaseError(str(path), f"the segmentation is damaged or cut short ({error})", "Copy it again") from None
    number = _segment_number(path, dataset, pattern)
    tumour = np.zeros((len(slices), slices[0].Rows, slices[0].Columns), dtype=bool)
    if frames.shape[1:] != tumour.shape[1:]:
        what = f"the segmentation has {dataset.Rows} x {dataset.Columns} pixels, the images {tumour.shape[1:]}"
        raise CaseError(str(path), what, "Export both on the same grid")
    corners = np.array([header.ImagePositionPatient for header in slices], dtype=float)
    for frame, groups in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        corner = np.asarray(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        distances = np.linalg.norm(corners - corner, axis=1)
        if distances.min() > TOLERANCE:
            what = f"a frame of the segmentation lies {distances.min():.3g} mm away from the closest slice"
            raise CaseError(str(path), what, "Export both on the same grid")
        tumour[distances.argmin()] |= frame
    return tumour


def _segment_number(path: Path, dataset: Any, pattern: str | None) -> int:
    labels = {int(entry.SegmentNumber): str(entry.SegmentLabel) for entry in dataset.SegmentSequence}
    fitting = [number for number, label in labels.items() if re.search(pattern or "", label, re.IGNORECASE)]
    if len(fitting) != 1:
        what = f"{len(fitting)} of its segments fit, expected one; there are {', '.join(labels.values())}"
        raise CaseError(str(path), what, "Name it with --segment <part of its label>")
    return fitting[0]
