"""What happens to the payload's bytes between device and edge."""

from semanticnn_core.channels.base import Arrival, Channel, Link, Payload
from semanticnn_core.channels.bits import BinarySymmetric, BitErrors

__all__ = ["Arrival", "BinarySymmetric", "BitErrors", "Channel", "Link", "Payload"]
