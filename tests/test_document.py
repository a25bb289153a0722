"""Pages that need nothing beside them."""

import base64
import io
import re

import numpy as np
from PIL import Image

from semanticnn_core.runner import document
from semanticnn_core.viz.style import panes

NASTY = '<script>"A & B"</script> 5 %'
TOLD = "&lt;script&gt;&quot;A &amp; B&quot;&lt;/script&gt; 5"


def test_text_stays_text_wherever_it_stands():
    pixels = np.zeros((2, 3, 3), np.uint8)
    parts = [
        document.paragraph(NASTY), document.item(NASTY, True), document.section(NASTY, ""), document.commands([NASTY]),
        document.table(NASTY, [NASTY], [[NASTY]]), document.strip([([(pixels, NASTY)], NASTY, True)]),
        document.plots((panes()[0], NASTY)),
    ]  # fmt: skip
    for part in parts:
        assert "<script" not in part and TOLD in part
    page = document.page(NASTY, parts)
    assert page.count("<script") == 0 and f"<title>{TOLD}" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page) and "url(" not in page and "@import" not in page


def test_every_picture_is_inside_the_page_with_its_words():
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    shown = document.strip([([(pixels, "one"), (pixels, "two")], "below", False)])
    assert re.findall(r'alt="(\w+)"', shown) == ["one", "two"] and "class=bad" not in shown
    png = base64.b64decode(re.search(r"base64,([^\"]+)", shown)[1])
    assert (np.asarray(Image.open(io.BytesIO(png))) == pixels).all()


def test_an_empty_section_is_left_out_and_numbers_open():
    assert document.section("nothing") == ""
    shown = document.folded("All", ["### x", "", "| a | b |", "|---|---|", "| 1 | 2 |"])
    assert shown.startswith("<details><summary>All") and "<h3" in shown and 'aria-label="All"><table>' in shown
    assert shown.count("<div") == shown.count("</div>") == 1
