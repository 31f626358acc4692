"""Makers of real files: DICOM by pydicom, pictures by Pillow, tables by csv."""

import csv

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid


@pytest.fixture
def write_dicom(tmp_path):
    """Write pixels (rows, columns[, 3]) or (frames, rows, columns) as a DICOM file with the given tags."""

    def write(pixels, name="image.dcm", bits=None, frames=1, **tags):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset(str(tmp_path / name), {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        dataset.Modality = "OT"
        colour = pixels.ndim == 3 and frames == 1
        dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
        dataset.SamplesPerPixel = 3 if colour else 1
        dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
        if colour:
            dataset.PlanarConfiguration = 0
        if frames > 1:
            dataset.NumberOfFrames = frames
        allocated = pixels.dtype.itemsize * 8
        dataset.BitsAllocated, dataset.BitsStored = allocated, bits or allocated
        dataset.HighBit = dataset.BitsStored - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        dataset.PixelData = pixels.tobytes()
        for tag, value in tags.items():
            setattr(dataset, tag, value)
        pydicom.dcmwrite(tmp_path / name, dataset, enforce_file_format=True)
        return tmp_path / name

    return write


@pytest.fixture
def picture(tmp_path):
    """Write a small image that is not constant, and return its path."""

    def write(name, size=(40, 48), seed=0, folder=tmp_path, mode="L"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = size if mode == "L" else (*size, 3)
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)
        return path

    return write


@pytest.fixture
def write_csv(tmp_path):
    """Write rows (dictionaries of the same keys) as a CSV table, below `above` other rows."""

    def write(rows, name="data.csv", folder=tmp_path, above=0, delimiter=","):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerows([["about", "this", "table"]] * above)
            writer.writerow(rows[0])
            writer.writerows(row.values() for row in rows)
        return path

    return write
