"""The heart: features to payload bytes, and damaged bytes to features."""

from semanticnn_core.codec.codec import SemanticCodec, Transmission
from semanticnn_core.codec.quantizer import SoftQuantizer

__all__ = ["SemanticCodec", "SoftQuantizer", "Transmission"]
