"""Measuring: sweeps over systems, links and seeds."""

from semanticnn_core.evaluation.sweep import byte_counts, summarize, sweep

__all__ = ["byte_counts", "summarize", "sweep"]
