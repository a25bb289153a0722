"""What happens to the payload's bits between device and edge."""

from semanticnn_core.channels.bits import BinarySymmetric

__all__ = ["BinarySymmetric"]
