"""One HTML page of text, tables and pictures that needs nothing beside it, on a telephone and in the dark too."""

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from semanticnn_core.runner.pages import GENERATOR, render_markdown

DPI = 150
"""Of figures: sharp on screens with two pixels a point."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta content="{generator}" name="generator">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ccc; --bad: #a40000; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e6e6; --paper: #16181b; --line: #444; --bad: #ff9b8a; }}
}}
* {{ box-sizing: border-box; }}
body {{ max-width: 56rem; margin: 1.5rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif;
  color: var(--ink); background: var(--paper); overflow-wrap: break-word; }}
h1 {{ font-size: 1.6rem; line-height: 1.2; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.2rem; margin: 2.2rem 0 0.4rem; border-top: 1px solid var(--line); padding-top: 0.8rem; }}
h3 {{ font-size: 1rem; margin: 1.2rem 0 0.3rem; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }}
th, td {{ border-bottom: 1px solid var(--line); padding: 0.25rem 0.9rem 0.25rem 0; text-align: left;
  vertical-align: top; white-space: nowrap; }}
pre, code {{ font-family: ui-monospace, monospace; font-size: 0.85rem; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--line); padding: 0.6rem; }}
figure {{ margin: 0; }}
figcaption {{ font-size: 0.8rem; line-height: 1.3; }}
.plots, .strip {{ display: flex; flex-wrap: wrap; gap: 0.8rem; margin: 0.6rem 0; }}
.plots > figure {{ flex: 1 1 20rem; max-width: 32rem; }}
.plots img {{ width: 100%; height: auto; border-radius: 6px; background: #fff; }}
.strip > figure {{ flex: 1 1 6.4rem; max-width: 8.6rem; }}
.strip {{ margin: 1rem 0 1.6rem; }}
.strip > figure:first-child:nth-last-child(4), .strip > figure:first-child:nth-last-child(4) ~ figure {{
  flex-basis: 4.6rem; }}
.strip img {{ width: 100%; display: block; margin-bottom: 0.2rem; image-rendering: pixelated; }}
.large {{ display: grid; grid-template-columns: repeat(2, 1fr); }}
.large > figure {{ max-width: none; }}
@media (min-width: 44rem) {{ .large {{ grid-template-columns: repeat(3, 1fr); max-width: 44rem; }} }}
.bad {{ color: var(--bad); font-weight: 600; }}
summary {{ cursor: pointer; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


def page(title: str, parts: Sequence[str]) -> str:
    """Return a page of parts, each HTML; the title is plain text."""
    return PAGE.format(generator=GENERATOR, title=_text(title), body="\n".join(parts))


def paragraph(text: str, bad: bool = False) -> str:
    """Return plain text as a paragraph; bad: whether it names something wrong."""
    return f"<p{' class=bad' * bad}>{_text(text)}</p>"


def item(text: str, bad: bool) -> str:
    """Return plain text as an entry of a list; bad: whether it names something wrong."""
    return f"<li{' class=bad' * bad}>{_text(text)}</li>"


def section(title: str, *parts: str) -> str:
    """Return parts under a heading; nothing where there are no parts."""
    return "\n".join([f"<section><h2>{_text(title)}</h2>", *parts, "</section>"]) if parts else ""


def folded(summary: str, lines: Sequence[str]) -> str:
    """Return lines of Markdown that open under a summary."""
    shown = render_markdown("\n".join(lines)).replace("<table>", f"{_wide(summary)}<table>")
    return f"<details><summary>{_text(summary)}</summary>{shown.replace('</table>', '</table></div>')}</details>"


def table(name: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table of plain text that scrolls where the page is narrow; name: what it is, for screen readers."""
    top = "".join(f'<th scope="col">{_text(str(cell))}</th>' for cell in head)
    lines = ["".join(f"<td>{_text(str(cell))}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"{_wide(name)}<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def commands(lines: Sequence[str]) -> str:
    """Return commands as they are typed."""
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def plots(*figures: tuple[Figure, str]) -> str:
    """Return figures side by side where there is room; each with its alternative text."""
    shown = (f"<figure>{_image(_drawn(figure), alt)}</figure>" for figure, alt in figures)
    return f'<div class="plots">{"".join(shown)}</div>'


def strip(cells: Sequence[tuple[Sequence[tuple[np.ndarray, str]], str, bool]], large: bool = False) -> str:
    """Return small pictures in a row that wraps.

    cells: pictures uint8 (h, w, 3) with their alternative texts, one above the other, the words below them, and whether
    these name something wrong.
    """
    shown = []
    for pictures, words, wrong in cells:
        images = "".join(_image(_png(pixels), alt) for pixels, alt in pictures)
        shown.append(f"<figure>{images}<figcaption{' class=bad' * wrong}>{_text(words)}</figcaption></figure>")
    return f'<div class="strip{" large" * large}">{"".join(shown)}</div>'


def _text(text: str) -> str:
    """Return plain text as HTML in which a number stays with its per cent sign."""
    return escape(text).replace(" %", "&nbsp;%")


def _wide(name: str) -> str:
    return f'<div class="wide" role="region" tabindex="0" aria-label="{escape(name)}">'


def _image(png: bytes, alt: str) -> str:
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _drawn(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return _small(Image.open(buffer).convert("RGB").quantize(64))


def _png(pixels: np.ndarray) -> bytes:
    return _small(Image.fromarray(pixels))


def _small(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
