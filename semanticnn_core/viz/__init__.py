"""Pictures and live panels of the notebooks."""
