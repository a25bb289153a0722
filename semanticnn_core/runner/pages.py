"""Notebook pages that need no network: formulas as MathML, pictures and styles inside the file.

nbconvert's own pages fetch MathJax, require.js and Mermaid when they are opened; none of that is left here.
"""

import base64
import copy
import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import jinja2
import latex2mathml.converter
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook
from PIL import Image

THUMBNAIL_WIDTH = 480
GENERATOR = "SemanticNN Lab"
"""What pages and executed notebooks name as their maker."""
COURSE = "course.html"
"""The page made of the README.md beside the notebooks."""

TEX_SYNONYMS = {
    r"\begin{aligned}": r"\begin{align*}",
    r"\end{aligned}": r"\end{align*}",
    r"\begin{align}": r"\begin{align*}",
    r"\end{align}": r"\end{align*}",
    r"\operatorname*": r"\mathrm",
    r"\operatorname": r"\mathrm",
    r"\arg\min": r"\argmin",
    r"\arg\max": r"\argmax",
}
"""What latex2mathml does not know, or numbers where Jupyter does not, and what it does know."""

STYLE = """
main { max-width: 62rem; margin: 0 auto; padding: 1rem; }
.jp-OutputArea-output img { max-width: 100%; height: auto; }
nav { padding-left: var(--jp-cell-prompt-width); }
.jp-OutputArea-output pre { font-family: var(--jp-code-font-family-default, monospace), monospace; }
summary { cursor: pointer; }
details:has(> .jp-Cell) > summary { padding-left: var(--jp-cell-prompt-width); }
.jp-Cell pre { white-space: pre-wrap; overflow-wrap: anywhere; }
math { font-size: 1.08em; font-family: "STIX Two Math", "Latin Modern Math", "Cambria Math", math; }
math[display="block"] { margin: 0.8em 0; }
mtd[columnalign="left"] { text-align: left; padding-left: 0.15em; }
mtd[columnalign="right"] { text-align: right; padding-right: 0.15em; }
math [mathvariant^="bold"] { font-weight: bold; }
math [mathvariant="monospace"] { font-family: monospace; }
"""

PAGE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}<meta content="{{ resources.generator }}" name="generator">{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}<style>{{ resources.style }}</style>{%- endblock -%}
{%- block body_header -%}{{ super() }}<nav><a href="index.html">All notebooks</a></nav>{%- endblock -%}
{%- block any_cell scoped -%}
{%- if "solution" in cell.metadata.get("tags", []) -%}
<details><summary>Solution</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock -%}
{%- block data_png scoped -%}
{{ super() | replace('<img', '<img alt="' ~ (output.metadata.alt | e) ~ '"') }}
{%- endblock -%}
{%- block data_latex scoped -%}
<div class="jp-RenderedHTMLCommon jp-OutputArea-output">{{ output.data['text/latex'] | markdown2html }}</div>
{%- endblock -%}
"""

INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta content="{generator}" name="generator">
<title>SemanticNN Lab notebooks</title>
<style>
body {{ max-width: 72rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: #222; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1.2rem; }}
article {{ border: 1px solid #ccc; border-radius: 8px; overflow: hidden; }}
article > div {{ padding: 0.4rem 1rem 1rem; }}
h2 {{ font-size: 1.1rem; margin: 0.4rem 0; }}
img {{ display: block; width: 100%; height: 12rem; object-fit: contain; background: #fff; }}
small {{ display: block; color: #555; overflow-wrap: anywhere; }}
.failed {{ color: #a40000; font-weight: 600; }}
</style>
</head>
<body>
<h1>SemanticNN Lab notebooks</h1>
{course}
<main>
{cards}
</main>
</body>
</html>
"""

CARD = """<article>
{thumbnail}<div>
<h2><a href="{page}">{title}</a></h2>
{about}
<p class="{state}">{status}</p>
<p><a href="{page}">page</a> · <a href="{notebook}">notebook</a></p>
<small>{parameters}</small>
</div>
</article>"""


@dataclass(frozen=True)
class NotebookRun:
    """The result of one notebook: `error` is None or says where and why it failed."""

    name: str
    title: str
    about: str
    """The first paragraph under the title, markdown."""
    parameters: dict[str, Any]
    seconds: float
    error: str | None
    notebook: Path
    page: Path
    picture: bytes | None
    """The first PNG, None where there is none."""


def mathml(tex: str, display: str = "inline") -> str:
    r"""Return a TeX formula (without its dollars) as a MathML element, `display` being "inline" or "block".

    A formula that the converter misreads, for instance an unknown \command, is a ValueError that quotes it.
    """
    known = tex.strip()
    for alien, synonym in TEX_SYNONYMS.items():
        known = known.replace(alien, synonym)
    if display == "block":
        known = re.sub(r"\\(min|max|argmin|argmax|lim)\s*_", r"\\\1\\limits_", known)
    try:
        markup = latex2mathml.converter.convert(known, display=display)
        texts = "".join(ElementTree.fromstring(markup).itertext())
    except Exception as error:  # the converter's errors share no base class
        raise ValueError(f"cannot show the formula {tex!r}: {type(error).__name__} {error}") from error
    if unknown := re.search(r"\\\w+", texts):
        raise ValueError(f"cannot show the formula {tex!r}: unknown command {unknown[0]}")
    return markup


class Renderer(IPythonRenderer):
    """nbconvert's markdown with formulas as MathML and links between notebooks as links between pages."""

    def inline_math(self, body: str) -> str:
        return _mathml_or_tex(body, "inline")

    def block_math(self, body: str) -> str:
        return _mathml_or_tex(body, "block")

    def latex_environment(self, name: str, body: str) -> str:
        tex = body if name.rstrip("*") == "equation" else rf"\begin{{{name}}}{body}\end{{{name}}}"
        return _mathml_or_tex(tex, "block")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        page = re.sub(r"^README\.md(?=$|#)", COURSE, re.sub(r"^(\w+)\.ipynb(?=$|#)", r"\1.html", url))
        return super().link(text, page, title)

    def _html_embed_images(self, html: str) -> str:
        return super()._html_embed_images(html) if "<img" in html else html  # it would close <details> at once

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        words = re.sub(r"<[^>]*>|[^\w\- ]", "", text).lower()
        return super().heading(text, level, **attributes | {"id": words.replace(" ", "-")})  # as GitHub names it


class OfflineExporter(HTMLExporter):
    """JupyterLab's look in one self-contained file."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(raw_template=PAGE, embed_images=True, exclude_anchor_links=True, **kwargs)

    @jinja2.pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        return render_markdown(source, self.embed_images, attachments, context["resources"]["metadata"]["path"])


def render_markdown(source: str, embed_images: bool = False, attachments: dict | None = None, path: str = "") -> str:
    """Return markdown as HTML, its formulas as MathML, as Jupyter would delimit them."""
    renderer = Renderer(
        escape=False, attachments=attachments, embed_images=embed_images, path=path, exclude_anchor_links=True
    )
    return MarkdownWithMath(renderer=renderer).render(source)


def render_page(notebook: NotebookNode, title: str, images_dir: Path) -> str:
    """Return an executed notebook as one HTML page; pictures named in its text are read from `images_dir`."""
    described = _described(notebook)
    described.metadata["title"] = title
    resources = {"metadata": {"name": title, "path": str(images_dir)}, "style": STYLE, "generator": GENERATOR}
    page, _ = OfflineExporter().from_notebook_node(described, resources)
    return page


def render_course(text: Path) -> str:
    """Return the page of the course plan, a markdown file beside the notebooks."""
    plan = new_notebook(cells=[new_markdown_cell(text.read_text(encoding="utf-8"))])
    return render_page(plan, headline(plan, "Course plan")[0], text.parent)


def is_ours(path: Path) -> bool:
    """Say whether a page or an executed notebook was written by this package."""
    marks = f'<meta content="{GENERATOR}" name="generator"', f'"generator": "{GENERATOR}"'  # as nbconvert sorts them
    return path.is_file() and any(mark.encode() in path.read_bytes() for mark in marks)


def render_index(runs: Sequence[NotebookRun], course: bool = False) -> str:
    """Return the overview page of several runs, linking to files beside it, and to the course plan if there is one."""
    plan = f'<p><a href="{COURSE}">Course plan, words and symbols</a></p>' if course else ""
    return INDEX.format(generator=GENERATOR, course=plan, cards="\n".join(map(_card, runs)))


def headline(notebook: NotebookNode, untitled: str) -> tuple[str, str]:
    """Return a notebook's title, its first heading, and what it is about, the paragraph after it, both markdown."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (match := re.search(r"^#\s+(.+)$", cell.source, re.MULTILINE)):
            paragraphs = cell.source[match.end() :].strip().split("\n\n")
            about = paragraphs[0] if not paragraphs[0].startswith("#") else ""
            return match[1].strip(), " ".join(about.split())
    return untitled, ""


def first_picture(notebook: NotebookNode) -> bytes | None:
    """Return the first PNG among a notebook's outputs, None where there is none."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                return base64.b64decode(png)
    return None


def _mathml_or_tex(tex: str, display: str) -> str:
    try:
        return mathml(tex, display)
    except ValueError:
        return f"<code>{escape(tex)}</code>"


def _described(notebook: NotebookNode) -> NotebookNode:
    """Return a copy in which every PNG carries the heading above it as its alternative text."""
    described, heading = copy.deepcopy(notebook), "Picture"
    for cell in described.cells:
        if cell.cell_type == "markdown" and (found := re.findall(r"^#+\s+(.+)$", cell.source, re.MULTILINE)):
            heading = found[-1].translate({ord(mark): None for mark in "`$*"})
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.metadata["alt"] = heading
    return described


def _card(run: NotebookRun) -> str:
    parameters = " · ".join(f"{name} = {value!r}" for name, value in run.parameters.items() if name != "out_dir")
    return CARD.format(
        thumbnail=_thumbnail(run.picture, run.title) if run.picture else "",
        page=escape(run.page.name),
        notebook=escape(run.notebook.name),
        title=escape(run.title),
        about=render_markdown(run.about),
        state="failed" if run.error else "done",
        status=escape(f"failed after {run.seconds:.1f} s {run.error}" if run.error else f"{run.seconds:.1f} s"),
        parameters=escape(parameters),
    )


def _thumbnail(png: bytes, alt: str) -> str:
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    picture.thumbnail((THUMBNAIL_WIDTH, THUMBNAIL_WIDTH))
    small = io.BytesIO()
    picture.save(small, "PNG", optimize=True)
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}">\n'
