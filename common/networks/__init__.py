"""Networks, one per file; only ``backbones`` knows torchvision."""

from common.networks.cipl_net import CIPLNet
from common.networks.cipl_weights import load_published_cipl
from common.networks.exam_classifier import ExamClassifier
from common.networks.exam_encoder import ExamEncoder, load_image_encoder
from common.networks.exam_segmenter import ExamSegmenter
from common.networks.explainer import ExplainerUNet
from common.networks.explainer_classifier import ExplainerClassifier
from common.networks.gated_resnet import GatedResNet
from common.networks.gated_vgg import GatedVGG
from common.networks.global_net import GlobalNet
from common.networks.inter_nrl import InterNRL
from common.networks.multi_view_report_net import MultiViewReportNet
from common.networks.plain_classifier import PlainClassifier
from common.networks.prototype_net import ProtoPNet
from common.networks.res2net import Res2NetEncoder
from common.networks.text_encoders import TEXT_ENCODERS, BagTextEncoder, TinyTextEncoder, build_text_encoder
from common.networks.text_encoders_base import TextEncoder, encode_pieces
from common.networks.text_encoders_hf import HFTextEncoder, hf_tokenizer
from common.networks.text_encoders_minilm import MiniLMTextEncoder, minilm_tokenizer
from common.networks.trunks import TRUNKS, build_trunk
from common.networks.uml_encoders import build_encoder
from common.networks.uml_net import UMLNet
from common.networks.uml_single_task import UMLClassifier, UMLSegmenter
from common.networks.vgg_encoder import VGGEncoder
from common.networks.view_trunk import VIEW_TRUNKS, build_view_trunk
from common.networks.visual_decoder import VisualDecoder

__all__ = [
    "TEXT_ENCODERS",
    "TRUNKS",
    "VIEW_TRUNKS",
    "BagTextEncoder",
    "CIPLNet",
    "ExamClassifier",
    "ExamEncoder",
    "ExamSegmenter",
    "ExplainerClassifier",
    "ExplainerUNet",
    "GatedResNet",
    "GatedVGG",
    "GlobalNet",
    "HFTextEncoder",
    "InterNRL",
    "MiniLMTextEncoder",
    "MultiViewReportNet",
    "PlainClassifier",
    "ProtoPNet",
    "Res2NetEncoder",
    "TextEncoder",
    "TinyTextEncoder",
    "UMLClassifier",
    "UMLNet",
    "UMLSegmenter",
    "VGGEncoder",
    "VisualDecoder",
    "build_encoder",
    "build_text_encoder",
    "build_trunk",
    "build_view_trunk",
    "encode_pieces",
    "hf_tokenizer",
    "load_image_encoder",
    "load_published_cipl",
    "minilm_tokenizer",
]
