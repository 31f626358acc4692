"""Data: datalists and their splits, a reader for every usual 2-D image file, transforms and the loader."""

from common.data.cases import list_cases
from common.data.datalist import (
    case_id_from,
    class_names,
    datalist_hash,
    describe_datalist,
    load_datalist,
    load_section,
    write_datalist,
)
from common.data.datalist_checks import check_datalist
from common.data.errors import CaseError, DatalistError, case_error_in
from common.data.loader import CaseCacheDataset, CaseLoader
from common.data.readers import ImageReader2D
from common.data.splits import grouped_split, subset
from common.data.transforms import CheckImaged, RecordSized, RoiMaskd, ToChannelsd, mask_from_boxes

__all__ = [
    "CaseCacheDataset",
    "CaseError",
    "CaseLoader",
    "CheckImaged",
    "DatalistError",
    "ImageReader2D",
    "RecordSized",
    "RoiMaskd",
    "ToChannelsd",
    "case_error_in",
    "case_id_from",
    "check_datalist",
    "class_names",
    "datalist_hash",
    "describe_datalist",
    "grouped_split",
    "list_cases",
    "load_datalist",
    "load_section",
    "mask_from_boxes",
    "subset",
    "write_datalist",
]
