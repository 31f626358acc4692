"""Data: datalists and their splits, a reader for every usual 2-D image file, transforms and the loader."""

from common.data.breast_transforms import CropBreastd, FlipToLeftd
from common.data.cases import list_cases
from common.data.class_balance import BalancedSampler, class_weights
from common.data.corruptions import CORRUPTIONS, corrupt
from common.data.crop import CropBoxd, square_around
from common.data.datalist import (
    background_name,
    case_id_from,
    class_names,
    datalist_hash,
    describe_datalist,
    load_datalist,
    load_section,
    load_structures,
    write_datalist,
)
from common.data.datalist_checks import check_datalist
from common.data.errors import CaseError, DatalistError, case_error_in
from common.data.exam_transforms import LoadFindingMasksd, LoadViewsd, RandShiftViewsd
from common.data.exams import ExamLayout, check_exams, exam_layout, load_exams
from common.data.finding_boxes import FindingBoxesd, box_in_view
from common.data.label_balance import LabelSampler, label_weights
from common.data.label_fraction import keep_labels, load_streams
from common.data.label_reader import LabelReader2D
from common.data.label_share import label_share, load_labelled
from common.data.loader import CaseCacheDataset, CaseLoader
from common.data.pairs import PairDataset, PairLoader, PairSampler
from common.data.placement import Placement
from common.data.readers import ImageReader2D
from common.data.report_transforms import ChooseReportd, TokenizeReportd
from common.data.segmentation import SegmentationMaskd
from common.data.shuffled_reports import shuffle_reports
from common.data.splits import fold_split, grouped_split, subset
from common.data.stream_loader import StreamLoader
from common.data.structures import parse_structures, structure_indices
from common.data.transforms import CheckImaged, RecordSized, RoiMaskd, ToChannelsd, mask_from_boxes
from common.data.two_views import TwoViewsd
from common.data.views import AffineViewd, affine_matrix

__all__ = [
    "CORRUPTIONS",
    "AffineViewd",
    "BalancedSampler",
    "CaseCacheDataset",
    "CaseError",
    "CaseLoader",
    "CheckImaged",
    "ChooseReportd",
    "CropBoxd",
    "CropBreastd",
    "DatalistError",
    "ExamLayout",
    "FindingBoxesd",
    "FlipToLeftd",
    "ImageReader2D",
    "LabelReader2D",
    "LabelSampler",
    "LoadFindingMasksd",
    "LoadViewsd",
    "PairDataset",
    "PairLoader",
    "PairSampler",
    "Placement",
    "RandShiftViewsd",
    "RecordSized",
    "RoiMaskd",
    "SegmentationMaskd",
    "StreamLoader",
    "ToChannelsd",
    "TokenizeReportd",
    "TwoViewsd",
    "affine_matrix",
    "background_name",
    "box_in_view",
    "case_error_in",
    "case_id_from",
    "check_datalist",
    "check_exams",
    "class_names",
    "class_weights",
    "corrupt",
    "datalist_hash",
    "describe_datalist",
    "exam_layout",
    "fold_split",
    "grouped_split",
    "keep_labels",
    "label_share",
    "label_weights",
    "list_cases",
    "load_datalist",
    "load_exams",
    "load_labelled",
    "load_section",
    "load_streams",
    "load_structures",
    "mask_from_boxes",
    "parse_structures",
    "shuffle_reports",
    "square_around",
    "structure_indices",
    "subset",
    "write_datalist",
]
