"""What every panel needs of its page: rows that wrap, sliders with names, plots that fit in, files to download."""

import html
from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import ipywidgets as widgets
import plotly.graph_objects as go
import traitlets

from semanticnn_core.viz.style import COLORS

WIDEST = 832
"""Screen pixels of a plot where there is room."""
NARROW = 600
"""A plot with less room takes its other shape, where it has one."""
UNSEEN = {"width": "100%", "height": "0", "margin": "0"}
"""The layout of a widget that only works on what stands beside it; of no size at all, it would not be measured."""


def sized(width: int, least: int, **more: str) -> widgets.Layout:
    """Return the layout of what is `width` screen pixels wide, or down to `least` where a row has less room."""
    return widgets.Layout(width="auto", max_width=f"min({width}px, 100%)", flex=f"1 1 {least}px", **more)


def slider_look() -> dict[str, Any]:
    """Return the options that make every slider equally wide, with room for its name."""
    return {"layout": sized(415, 340), "style": {"description_width": "110px"}}


def in_rows(items: Sequence[widgets.Widget], align: str = "stretch") -> widgets.Box:
    """Lay widgets out in rows, which wrap where the page is narrow."""
    return widgets.Box(list(items), layout=widgets.Layout(flex_flow="row wrap", align_items=align, max_width="900px"))


def in_pairs(controls: Sequence[widgets.Widget]) -> widgets.Box:
    """Lay sliders out in two columns, or in one where the page is narrow, named for screen readers."""
    return in_rows([*controls, ControlNames()])


def spelt(name: object) -> str:
    """Return a name as plotly is to spell it: no tags, entities or formulas in it."""
    return html.escape(str(name), quote=False).replace("$", "&#36;")


class ControlNames(anywidget.AnyWidget):
    """Has sliders and buttons of its box read out as they look: with their names, and not as numbers of stops."""

    _esm = """
    function render({ el }) {
      const put = (part, attribute, text) => {
        if (part && text && part.getAttribute(attribute) !== text) part.setAttribute(attribute, text);
      };
      const name = () => {
        for (const slider of el.parentElement.querySelectorAll(".widget-slider")) {
          const [label, handle, readout] = [".widget-label", ".noUi-handle", ".widget-readout"]
            .map((part) => slider.querySelector(part));
          put(handle, "aria-label", label?.textContent);
          put(handle, "aria-valuetext", readout?.textContent);
          if (readout?.isContentEditable) put(readout, "role", "textbox");
          if (readout?.isContentEditable) put(readout, "aria-label", label?.textContent);
        }
        for (const icon of el.parentElement.querySelectorAll("button > .fa"))  // of ipywidgets' Play
          put(icon.parentElement, "aria-label", icon.className.replace(/.*fa-/, "").replace("retweet", "repeat"));
      };
      const changes = new MutationObserver(name);
      const arrival = new ResizeObserver(() => {  // first when it stands in the page
        const attributes = { attributes: true, attributeFilter: ["aria-valuetext", "class"] };
        if (!el.parentElement) return;
        changes.observe(el.parentElement, { subtree: true, childList: true, characterData: true, ...attributes });
        name();
      });
      arrival.observe(el);
      return () => { changes.disconnect(); arrival.disconnect(); };
    }
    export default { render };
    """

    def __init__(self) -> None:
        super().__init__(layout=widgets.Layout(**UNSEEN))


class _PlotPage(anywidget.AnyWidget):
    """Says how much room the plot beside it has, gives it words for screen readers and the theme's colours."""

    _esm = """
    function render({ model, el }) {
      let width = 0, timer;
      const say = () => {
        el.parentElement?.setAttribute("role", "img");
        el.parentElement?.setAttribute("aria-label", model.get("words"));
      };
      const room = new ResizeObserver(() => {
        say();
        clearTimeout(timer);
        timer = setTimeout(() => {
          if (el.clientWidth && el.clientWidth !== width) model.send({ width: (width = el.clientWidth) });
        }, 100);
      });
      room.observe(el);
      model.on("change:words", say);
      return () => { room.disconnect(); clearTimeout(timer); model.off("change:words", say); };
    }
    export default { render };
    """
    _css = """
    .live-plot .main-svg { background: transparent !important; }
    .live-plot .main-svg text:not(.hoverlayer text) { fill: var(--jp-ui-font-color1, #222) !important; }
    .live-plot .main-svg :is(.gridlayer, .zerolinelayer) path { stroke: var(--jp-border-color2, #ddd) !important; }
    .live-plot .main-svg :is(.xtick, .ytick, .xlines-above, .ylines-above):is(path, .ticks),
    .live-plot .main-svg [style*="stroke: rgb(BLACK)"] { stroke: var(--jp-ui-font-color1, #222) !important; }
    .live-plot .main-svg [style*="fill: rgb(BLACK)"] { fill: var(--jp-ui-font-color1, #222) !important; }
    """.replace("BLACK", ", ".join(str(each) for each in bytes.fromhex(COLORS["black"][1:])))
    words = traitlets.Unicode("").tag(sync=True)


class LivePlot(widgets.VBox):
    """A plotly figure on a page: no wider than its place, in the theme's colours, without tools, and put into words.

    `figure` is a plain figure until `live` makes a widget of it: changes of a widget before its page opens are lost.
    narrow: values of the layout for a place of less than `NARROW` pixels.
    """

    def __init__(self, figure: go.Figure, narrow: dict[str, Any] | None = None) -> None:
        clear = "rgba(0,0,0,0)"
        figure.update_layout(paper_bgcolor=clear, plot_bgcolor=clear, width=WIDEST)
        self.narrow = narrow or {}
        self.wide = {name: figure.layout[name] for name in self.narrow}
        self.figure, self.page = figure, _PlotPage(layout=widgets.Layout(**UNSEEN))
        self.page.on_msg(lambda _, message, __: self.fit(int(message["width"])))
        super().__init__([self.page], layout=widgets.Layout(max_width=f"{WIDEST}px", overflow="hidden"))
        self.add_class("live-plot")

    def live(self) -> "LivePlot":
        """Show the figure, as it is now and as it becomes."""
        self.figure = go.FigureWidget(self.figure)
        self.figure._config = {"displayModeBar": False, "displaylogo": False}  # no tool that leads to a cloud
        self.children = (self.figure, self.page)
        return self

    def fit(self, width: int) -> None:
        """Take up so many screen pixels."""
        with self.figure.batch_update():
            self.figure.update_layout(width=min(width, WIDEST), **(self.narrow if width < NARROW else self.wide))

    def tell(self, words: str) -> None:
        """Say in words what the plot shows now."""
        self.page.words = words


class Download(anywidget.AnyWidget):
    """A button that has the kernel make a file and the browser keep it; the kernel's machine keeps nothing.

    make: returns the file's name and its bytes.
    """

    _esm = """
    function render({ model, el }) {
      const button = document.createElement("button");
      button.className = "jupyter-widgets jupyter-button widget-button";
      button.textContent = model.get("label");
      button.style.width = "auto";
      let asked = false;  // the same widget may be shown twice
      button.onclick = () => { asked = true; model.send({}); };
      const keep = ({ name }, [content]) => {
        if (!asked) return;
        asked = false;
        const link = document.createElement("a");
        link.href = URL.createObjectURL(new Blob([content]));
        link.download = name;
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      };
      model.on("msg:custom", keep);
      el.append(button);
      return () => model.off("msg:custom", keep);
    }
    export default { render };
    """
    label = traitlets.Unicode("").tag(sync=True)

    def __init__(self, make: Callable[[], tuple[str, bytes]], **options: Any) -> None:
        super().__init__(**options)
        self._make = make
        self.on_msg(lambda *_: self.deliver())

    def deliver(self) -> None:
        """Send the file to the browser."""
        name, content = self._make()
        self.send({"name": name}, buffers=[content])
