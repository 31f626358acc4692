"""Networks, one per file; only ``backbones`` knows torchvision."""

from common.networks.explainer import ExplainerUNet
from common.networks.explainer_classifier import ExplainerClassifier
from common.networks.gated_resnet import GatedResNet
from common.networks.gated_vgg import GatedVGG

__all__ = ["ExplainerClassifier", "ExplainerUNet", "GatedResNet", "GatedVGG"]
