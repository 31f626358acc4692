"""Read a 2-D medical image, whatever kind of file it is in."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.image_reader import ImageReader

from common.data.errors import CaseError

# What a file's first bytes look like. DICOM files without their 128-byte preamble start with a group 2 or 8 element.
DICOM_PREFIX = (b"DICM", 128)
BARE_DICOM = (b"\x02\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00")
GZIP = b"\x1f\x8b"
NIFTI_MAGIC = ((b"n+1\x00", 344), (b"n+2\x00", 4))


class ImageReader2D(ImageReader):
    """MONAI reader of PNG, JPEG, TIFF, BMP, DICOM and NIfTI images, told apart by their content.

    The result is float32 in [0, 1], with axes (row, column) or (row, column, colour), row 0 at the top as a viewer
    would show it:

    * **PNG, JPEG, TIFF, BMP**: stored value / largest value of the format (255 or 65535); the EXIF orientation is
      applied, palettes become colours, transparency is dropped. 32-bit TIFF has no largest value: see NIfTI.
    * **DICOM**: modality LUT, then VOI LUT or the first window, scaled to the window's output range; without either,
      smallest to largest value. MONOCHROME1 is inverted, so that dark is low. Colour and palettes become RGB.
    * **NIfTI**: turned to the closest canonical axes and shown as radiologists do (anterior or superior at the top,
      the patient's right or anterior at the left); smallest to largest value, or ``percentiles``.

    Use it as ``LoadImaged(keys, reader="common.data.ImageReader2D")``; ``EnsureChannelFirstd`` then gives (C, H, W).

    Args:
        frame: which frame (DICOM, TIFF) or axial slice (NIfTI, from the feet) to take from a file with several,
            counted from 0; None refuses such files.
        percentiles: the two percentiles, such as (1, 99), that become 0 and 1 where the file names no intensity
            range; None takes the smallest and the largest value.
    """

    def __init__(self, frame: int | None = None, percentiles: Sequence[float] | None = None) -> None:
        super().__init__()
        if frame is not None and frame < 0:
            raise ValueError(f"frame is {frame}, expected 0 or more, or None for files with a single frame")
        if percentiles is not None and not (len(percentiles) == 2 and 0 <= percentiles[0] < percentiles[1] <= 100):
            raise ValueError(f"percentiles is {percentiles}, expected two rising numbers between 0 and 100, or None")
        self.frame = frame
        self.percentiles = tuple(percentiles) if percentiles is not None else (0.0, 100.0)

    def verify_suffix(self, filename: Any) -> bool:
        """Return True: the content decides, not the name."""
        return True

    def read(self, data: Any, **kwargs: Any) -> Path:
        """Note the file to read.

        Decoding waits for :meth:`get_data`, because MONAI answers an error in ``read`` by quietly trying its other
        readers, which swap the axes and scale differently.
        """
        names = [data] if isinstance(data, str | Path) else list(data)
        if len(names) != 1:
            raise CaseError(str(names[0]), f"{len(names)} files were given for one image", "Give each view its own key")
        return Path(names[0])

    def get_data(self, img: Path) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the pixels and what MONAI wants to know about them.

        Args:
            img: the path from :meth:`read`.

        Returns:
            The array, (H, W) or (H, W, 3), float32 in [0, 1], and its metadata: ``spatial_shape`` (rows, columns of
            the source), ``original_channel_dim``, ``affine`` (pixel spacing in mm, 1 where unknown; array axes),
            ``filename_or_obj`` and ``source_format``.

        Raises:
            CaseError: if the file is missing, unreadable, truncated, not an image, or holds several frames.
        """
        kind, decode = self._decoder(img)
        try:
            pixels, spacing = decode(img)
        except CaseError:
            raise
        except Exception as error:  # decoders raise anything from struct.error to IndexError on damaged files
            raise CaseError(
                str(img),
                f"the {kind} file is damaged, cut short or of an unsupported kind ({_first_line(error)})",
                "Copy or export it again" + _codec_hint(error),
            ) from None
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
            what = f"its pixels have the shape {pixels.shape}, expected (rows, columns) or (rows, columns, 3)"
            raise CaseError(str(img), what, "Export it again as a grey or colour image")
        return np.ascontiguousarray(pixels, dtype=np.float32), {
            "filename_or_obj": str(img),
            "source_format": kind,
            "spatial_shape": np.asarray(pixels.shape[:2]),
            "original_channel_dim": -1 if pixels.ndim == 3 else float("nan"),
            "affine": np.diag([*spacing, 1.0, 1.0]),
        }

    def _decoder(self, path: Path) -> tuple[str, Callable[[Path], tuple[np.ndarray, tuple[float, float]]]]:
        """Return the kind of file and the method that decodes it, by its first bytes."""
        if not path.is_file():
            what = "it is a folder, expected one image file" if path.is_dir() else "the file does not exist"
            raise CaseError(str(path), what, "Correct the path in the datalist, or dataset_dir")
        try:
            with path.open("rb") as file:
                head = file.read(352)
            if head.startswith(GZIP):
                with gzip.open(path) as file:
                    head = file.read(352)
        except (OSError, EOFError, zlib.error) as error:
            raise CaseError(str(path), f"it cannot be read ({error})", "Check permissions or copy it again") from None
        if not head:
            raise CaseError(str(path), "the file is empty", "Copy or export it again")
        magic, offset = DICOM_PREFIX
        if head[offset : offset + len(magic)] == magic or head.startswith(BARE_DICOM):
            return "DICOM", self._dicom
        if any(head[offset : offset + len(magic)] == magic for magic, offset in NIFTI_MAGIC):
            return "NIfTI", self._nifti
        return "image", self._picture

    def _picture(self, path: Path) -> tuple[np.ndarray, tuple[float, float]]:
        """Decode with Pillow."""
        from PIL import Image, ImageOps, UnidentifiedImageError

        try:
            file = Image.open(path)
        except UnidentifiedImageError:
            raise CaseError(
                str(path),
                "it is no image that can be recognised, or its beginning is damaged",
                "Expected PNG, JPEG, TIFF, BMP, DICOM or NIfTI; export it again as one of these",
            ) from None
        with file:
            file.seek(self._chosen(path, getattr(file, "n_frames", 1), "frames") or 0)
            image = ImageOps.exif_transpose(file)
            if image.mode in {"I", "F"}:
                return self._scaled(np.asarray(image, dtype=np.float64)), (1.0, 1.0)
            if image.mode.startswith("I;16"):
                return np.asarray(image).astype(np.float32) / 65535, (1.0, 1.0)
            grey = image.mode in {"1", "L", "LA", "La"}
            return np.asarray(image.convert("L" if grey else "RGB"), dtype=np.float32) / 255, (1.0, 1.0)

    def _dicom(self, path: Path) -> tuple[np.ndarray, tuple[float, float]]:
        """Decode with pydicom: PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (photometric meaning)."""
        import pydicom
        from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
        from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

        dataset = pydicom.dcmread(path, force=True)
        if "PixelData" not in dataset:
            modality = dataset.get("Modality", "modality unknown")
            what = f"this DICOM file ({modality}) holds no pixels, or is cut short before them"
            raise CaseError(str(path), what, "Leave it out of the datalist, or export it again")
        if "TransferSyntaxUID" not in dataset.file_meta:  # a bare file: pydicom has found out how it is encoded
            implicit, _ = dataset.original_encoding
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        frame = self._chosen(path, int(dataset.get("NumberOfFrames") or 1), "frames")
        pixels = pixel_array(dataset, index=frame or 0)
        meaning = dataset.PhotometricInterpretation
        if meaning == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, dataset)
            scaled = pixels / np.iinfo(pixels.dtype).max
        elif dataset.SamplesPerPixel > 1:
            scaled = pixels / (2**dataset.BitsStored - 1)
        else:
            scaled = self._windowed(apply_modality_lut(pixels, dataset), dataset)
            scaled = 1 - scaled if meaning == "MONOCHROME1" else scaled
        spacing = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing") or (1.0, 1.0)
        return scaled, (float(spacing[0]), float(spacing[1]))

    def _windowed(self, values: np.ndarray, dataset: Any) -> np.ndarray:
        """Return values in [0, 1] after the VOI LUT or the first window; by their own range without either."""
        from pydicom.pixels import apply_voi, apply_windowing

        if dataset.get("VOILUTSequence"):
            bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
            return apply_voi(values, dataset) / (2**bits - 1)
        if dataset.get("WindowWidth") is None or dataset.get("WindowCenter") is None:
            return self._scaled(values)
        # The window's output range depends on other attributes; its two ends are what the extremes are mapped to.
        with np.errstate(over="ignore"):  # the sigmoid function's exponential
            low, high = apply_windowing(np.array([-1e30, 1e30]), dataset)
            return (apply_windowing(values, dataset) - low) / (high - low)

    def _nifti(self, path: Path) -> tuple[np.ndarray, tuple[float, float]]:
        """Decode with nibabel, turn to canonical axes (left-right, back-front, feet-head), take one slice."""
        import nibabel

        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(GZIP) else content
        kind = nibabel.Nifti1Image if content[344:348] == b"n+1\x00" else nibabel.Nifti2Image
        image = kind.from_bytes(content)
        volume = np.asanyarray(image.dataobj)
        while volume.ndim > 3 and volume.shape[-1] == 1:
            volume = volume[..., 0]
        volume = volume[..., np.newaxis] if volume.ndim == 2 else volume
        if volume.ndim != 3 or volume.dtype.names is not None:
            what = f"its voxels have the shape {volume.shape}, expected one grey slice or volume"
            raise CaseError(str(path), what, "Export that alone")
        orientation = nibabel.io_orientation(image.affine)
        if np.isnan(orientation).any():
            raise CaseError(str(path), "its affine matrix is singular, so up and down are unknown", "Export it again")
        volume = nibabel.apply_orientation(volume, orientation)
        sizes = [0.0, 0.0, 0.0]
        for axis, size in zip(orientation[:, 0].astype(int), nibabel.affines.voxel_sizes(image.affine), strict=True):
            sizes[axis] = float(size)
        flat = [axis for axis in range(3) if volume.shape[axis] == 1]
        axis = flat[-1] if flat else 2
        frame = self._chosen(path, volume.shape[axis], "slices")
        plane = np.take(volume, frame or 0, axis=axis)
        across, up = (size for other, size in enumerate(sizes) if other != axis)
        # Both remaining axes run away from the viewer's top left corner: rows are the later one, downwards.
        return self._scaled(plane[::-1, ::-1].T.astype(np.float64)), (up, across)

    def _chosen(self, path: Path, count: int, noun: str) -> int | None:
        """Return the frame to take, None where there is only one; refuse to guess."""
        if count == 1:
            return None
        if self.frame is None or self.frame >= count:
            wanted = "none was chosen" if self.frame is None else f"frame {self.frame} was asked for"
            raise CaseError(
                str(path),
                f"the file holds {count} {noun} and {wanted}; expected a single image",
                f"Set the reader's option frame to 0 ... {count - 1}, or export one image a file",
            )
        return self.frame

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        """Return values with the two percentiles moved to 0 and 1; NaN and infinity stay, for CheckImaged to find."""
        values = values.astype(np.float64)
        finite = np.isfinite(values)
        if not finite.any():
            return values
        low, high = np.percentile(values[finite], self.percentiles)
        scaled = (values - low) / (high - low) if high > low else np.where(finite, values > 0, values)
        return np.where(finite, np.clip(scaled, 0, 1), values)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no details"])[0][:200]


def _codec_hint(error: Exception) -> str:
    """Return where to get a decoder, if that is what is missing."""
    missing = "plugin" in str(error) or "missing dependencies" in str(error)
    return "; for compressed DICOM: pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg" if missing else ""
