"""Measuring: sweeps over error rate, slice ratio and seed."""

from semanticnn_core.evaluation.sweep import byte_counts, measure, summarize, sweep

__all__ = ["byte_counts", "measure", "summarize", "sweep"]
