"""Networks, one per file; only ``backbones`` knows torchvision."""

from common.networks.cipl_net import CIPLNet
from common.networks.cipl_weights import load_published_cipl
from common.networks.explainer import ExplainerUNet
from common.networks.explainer_classifier import ExplainerClassifier
from common.networks.gated_resnet import GatedResNet
from common.networks.gated_vgg import GatedVGG
from common.networks.global_net import GlobalNet
from common.networks.inter_nrl import InterNRL
from common.networks.prototype_net import ProtoPNet
from common.networks.res2net import Res2NetEncoder
from common.networks.trunks import TRUNKS, build_trunk
from common.networks.uml_encoders import build_encoder
from common.networks.uml_net import UMLNet
from common.networks.uml_single_task import UMLClassifier, UMLSegmenter
from common.networks.vgg_encoder import VGGEncoder

__all__ = [
    "TRUNKS",
    "CIPLNet",
    "ExplainerClassifier",
    "ExplainerUNet",
    "GatedResNet",
    "GatedVGG",
    "GlobalNet",
    "InterNRL",
    "ProtoPNet",
    "Res2NetEncoder",
    "UMLClassifier",
    "UMLNet",
    "UMLSegmenter",
    "VGGEncoder",
    "build_encoder",
    "build_trunk",
    "load_published_cipl",
]
