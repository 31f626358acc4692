"""Read a contrast-enhanced examination from NIfTI files, one volume a phase."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.data.errors import CaseError
from common.data.sources.dynamic_series import DynamicSeries

TOLERANCE = 1e-2  # of the affine matrices, in mm


def read_nifti_series(folder: Path, phases: Sequence[Path], mask: Path, ignore_affine: bool = False) -> DynamicSeries:
    """Read the phases of an examination and its tumour mask.

    Slices are those of the files' third axis; they are turned as :class:`common.data.ImageReader2D` turns NIfTI.

    Args:
        folder: the case, for messages.
        phases: the volumes, in order of time.
        mask: voxels above 0 are tumour.
        ignore_affine: accept different affine matrices: the voxels correspond although the headers deny it.

    Raises:
        CaseError: if a file cannot be read, or they do not lie on the same grid.
    """
    files = (*phases, mask)
    volumes, affines = zip(*(_volume(path) for path in files), strict=True)
    for path, volume, affine in zip(files, volumes, affines, strict=True):
        if volume.shape != volumes[0].shape:
            sizes = [" x ".join(map(str, shape)) for shape in (volume.shape, volumes[0].shape)]
            detail = f"it has {sizes[0]} voxels, expected {sizes[1]}"
        elif not ignore_affine and not np.allclose(affine, affines[0], atol=TOLERANCE):
            detail = f"its affine matrix differs by up to {np.abs(affine - affines[0]).max():.3g} mm"
        else:
            continue
        remedy = "Resample both to one grid; if only the header is wrong, add --ignore_affine True"
        raise CaseError(str(folder), f"'{path.name}' is on another grid than '{files[0].name}': {detail}", remedy)
    return DynamicSeries(folder, np.stack(volumes[:-1]), volumes[-1] > 0)


def _volume(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return a volume as (Z, H, W), and its affine matrix."""
    import nibabel

    try:
        image: Any = nibabel.load(path)
        stored, affine = np.asanyarray(image.dataobj), image.affine
    except Exception as error:  # nibabel and gzip raise anything on damaged files
        raise CaseError(str(path), f"the NIfTI file is damaged or cut short ({error})", "Copy it again") from None
    if stored.ndim == 4 and stored.shape[3] == 1:
        stored = stored[..., 0]
    if stored.ndim != 3:
        raise CaseError(str(path), f"it has {stored.ndim} dimensions, expected one volume a file", "Split it by phase")
    orientation = nibabel.io_orientation(affine)
    if np.isnan(orientation).any():
        raise CaseError(str(path), "its affine matrix is singular, so up and down are unknown", "Export it again")
    volume = np.moveaxis(nibabel.apply_orientation(stored, orientation), int(orientation[2, 0]), 0)
    # Both remaining axes run away from the viewer's top left corner: rows are the later one, downwards.
    return volume[:, ::-1, ::-1].transpose(0, 2, 1).astype(np.float32), affine
