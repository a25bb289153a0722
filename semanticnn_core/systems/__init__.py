"""SemanticNN and what it is compared with, behind one protocol, and the folders that hold their weights."""

from semanticnn_core.systems.checkpoints import checkpoint_for, load_checkpoint, matching
from semanticnn_core.systems.semanticnn import SemanticNN

__all__ = ["SemanticNN", "checkpoint_for", "load_checkpoint", "matching"]
