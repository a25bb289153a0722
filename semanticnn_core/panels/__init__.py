"""Live panels: widgets that only call pure functions."""
