"""What happens to the payload's bytes between device and edge."""

from semanticnn_core.channels.base import INDEPENDENT, Arrival, Believed, Channel, Link, Payload
from semanticnn_core.channels.bits import BinarySymmetric, BitErrors
from semanticnn_core.channels.bursts import Bursts, GilbertElliott

__all__ = [
    "INDEPENDENT", "Arrival", "Believed", "BinarySymmetric", "BitErrors", "Bursts", "Channel", "GilbertElliott",
    "Link", "Payload",
]  # fmt: skip
