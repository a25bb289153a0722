"""SemanticNN and what it is compared with, behind one protocol."""

from semanticnn_core.systems.semanticnn import SemanticNN

__all__ = ["SemanticNN"]
