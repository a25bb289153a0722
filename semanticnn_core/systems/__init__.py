"""SemanticNN and what it is compared with, behind one protocol, and the folders that hold their weights."""

from semanticnn_core.systems.base import Offload, OffloadSystem, Received, offload
from semanticnn_core.systems.checkpoints import checkpoint_for, load_checkpoint, open_checkpoint
from semanticnn_core.systems.semanticnn import SemanticNN

__all__ = [
    "Offload", "OffloadSystem", "Received", "SemanticNN", "checkpoint_for", "load_checkpoint", "offload",
    "open_checkpoint",
]  # fmt: skip
