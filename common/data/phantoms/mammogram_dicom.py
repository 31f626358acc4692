"""Write a phantom mammogram as a DICOM file of the kind that a digital mammography unit sends."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.data.phantoms.mammogram import BRIGHTEST, Mammogram

__all__ = ["write_dicom"]

BITS = 12
BREAST_HEIGHT = 240.0  # mm; the field of a detector of usual size
DATE = "20100718"
# Code values of DICOM's context group 4014.
VIEW_CODES = {"CC": ("R-10242", "cranio-caudal"), "MLO": ("R-10226", "medio-lateral oblique")}
# Where the columns and the rows lead to: from the chest wall forwards or back, and to the foot or the other side.
ORIENTATIONS = {
    ("L", "CC"): ["A", "R"], ("R", "CC"): ["P", "L"], ("L", "MLO"): ["A", "FR"], ("R", "MLO"): ["P", "FL"],
}  # fmt: skip


def write_dicom(sample: Mammogram, patient: str, instance: int, seed: int, path: Path) -> None:
    """Write the file; the same sample gives the same bytes.

    Args:
        sample: the mammogram.
        patient: PatientID.
        instance: number of the image in its series, from 1.
        seed: of the data set, so that unique identifiers differ between data sets.
        path: where; its folder is made if needed.
    """
    import pydicom
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import UID, DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    def uid(*parts: str) -> UID:
        return generate_uid(entropy_srcs=["vitrine mammogram", str(seed), patient, *parts])

    facts = sample.facts
    name = f"{facts.laterality}{sample.view}"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid("image", name)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("study"), uid("series")
    dataset.PatientID, dataset.PatientName, dataset.PatientSex = patient, patient, "F"
    dataset.PatientAge, dataset.StudyDate, dataset.InstanceNumber = f"{facts.age:03d}Y", DATE, instance
    dataset.Modality, dataset.Manufacturer, dataset.BodyPartExamined = "MG", "Vitrine phantom", "BREAST"
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageLaterality, dataset.ViewPosition = facts.laterality, sample.view
    view = Dataset()
    view.CodeValue, view.CodeMeaning = VIEW_CODES[sample.view]
    view.CodingSchemeDesignator = "SRT"
    dataset.ViewCodeSequence = [view]
    dataset.PatientOrientation = ORIENTATIONS[facts.laterality, sample.view]
    rows, columns = sample.image.shape
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
    dataset.ImagerPixelSpacing = [round(BREAST_HEIGHT / rows, 4)] * 2
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, BITS, BITS - 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME1" if sample.monochrome1 else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if sample.monochrome1 else "IDENTITY"
    # The whole range, so that the file shows the values as they were drawn (PS3.3 C.11.2.1.2.1).
    dataset.WindowCenter, dataset.WindowWidth = (BRIGHTEST + 1) / 2, BRIGHTEST + 1
    stored = BRIGHTEST - sample.image if sample.monochrome1 else sample.image
    dataset.PixelData = stored.astype(np.dtype("<u2")).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
