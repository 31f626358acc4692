"""Small parametrised modules and tensor functions that networks are built from."""

from common.layers.channel_mixing import ChannelMixer, PyramidMixer, shuffle_channels
from common.layers.class_connected import ClassConnectedLinear
from common.layers.co_attention import co_attention
from common.layers.convolution import double_conv
from common.layers.decoder_block import ConcatenatingStep, ConvolvingStep
from common.layers.evidence import (
    EVIDENCE_ACTIVATIONS,
    dissonance,
    entropy_of_mean,
    evidence_from,
    expected_entropy,
    mutual_information,
    opinion,
    vacuity,
)
from common.layers.gating import GatedStage, gate, pool_map
from common.layers.image_check import MIN_IMAGE_SIZE, check_image
from common.layers.image_normalisation import ImageNormalisation
from common.layers.last_layer_fit import fit_last_layer
from common.layers.low_rank import LowRankProjection
from common.layers.masking import masked_mean, masked_softmax
from common.layers.normalisation import NORMS, BatchNorm2d, FrozenNorm2d, GroupNorm2d, make_norm
from common.layers.normalised_convolution import DoubleConv, NormalisedConv, SeparableConv, init_convolutions
from common.layers.polarized_attention import PolarizedAttention
from common.layers.pooling import nearest_places
from common.layers.prototype_layer import PrototypeLayer, class_map_of, forget_projection
from common.layers.region_grid import attend_regions, region_mean, upsample_regions
from common.layers.reliable_mask import ReliableMask
from common.layers.resizing import pad_to_multiple, resize
from common.layers.similarity import SIMILARITIES, prototype_distance, similarity_from, squared_distance
from common.layers.transformer_block import TransformerBlock
from common.layers.uncertainty_instructor import SeparableStack, UncertaintyInstructor
from common.layers.uncertainty_navigator import UncertaintyNavigator
from common.layers.word_joining import join_words, trim_padding

__all__ = [
    "EVIDENCE_ACTIVATIONS",
    "MIN_IMAGE_SIZE",
    "NORMS",
    "SIMILARITIES",
    "BatchNorm2d",
    "ChannelMixer",
    "ClassConnectedLinear",
    "ConcatenatingStep",
    "ConvolvingStep",
    "DoubleConv",
    "FrozenNorm2d",
    "GatedStage",
    "GroupNorm2d",
    "ImageNormalisation",
    "LowRankProjection",
    "NormalisedConv",
    "PolarizedAttention",
    "PrototypeLayer",
    "PyramidMixer",
    "ReliableMask",
    "SeparableConv",
    "SeparableStack",
    "TransformerBlock",
    "UncertaintyInstructor",
    "UncertaintyNavigator",
    "attend_regions",
    "check_image",
    "class_map_of",
    "co_attention",
    "dissonance",
    "double_conv",
    "entropy_of_mean",
    "evidence_from",
    "expected_entropy",
    "fit_last_layer",
    "forget_projection",
    "gate",
    "init_convolutions",
    "join_words",
    "make_norm",
    "masked_mean",
    "masked_softmax",
    "mutual_information",
    "nearest_places",
    "opinion",
    "pad_to_multiple",
    "pool_map",
    "prototype_distance",
    "region_mean",
    "resize",
    "shuffle_channels",
    "similarity_from",
    "squared_distance",
    "trim_padding",
    "upsample_regions",
    "vacuity",
]
