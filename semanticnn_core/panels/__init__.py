"""Live panels: widgets that only call pure functions."""

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets


def slider_look(width: str = "415px") -> dict[str, Any]:
    """Return the options that make every slider equally wide, with room for its name."""
    return {"layout": widgets.Layout(width=width), "style": {"description_width": "110px"}}


def in_pairs(controls: Sequence[widgets.Widget]) -> widgets.Box:
    """Lay sliders out in two columns, or in one where the page is narrow."""
    return widgets.Box(list(controls), layout=widgets.Layout(flex_flow="row wrap", max_width="860px"))
