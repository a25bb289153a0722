"""The notebooks with live panels as their readers meet them: in JupyterLab, and the playground as Voilà's page.

`pytest tests/browser --screenshots DIR` keeps the pictures. Tests of one page share it and run in this order.
"""

import io
import os
import re
from pathlib import Path

import pytest
from driver import PANEL, VIEWPORT
from PIL import Image

pytestmark = pytest.mark.browser

APP_SECONDS = 30
"""From `make app` to a usable page."""

STATES = {
    "bit error rate": lambda value: f"ber={float(value.rstrip(' %')) / 100:g};",
    "slice ratio": lambda value: f"ratio={value};",
    "channel seed": lambda value: f"seed={value};",
    "image": lambda value: f"image=test {value};",
}
"""How the playground's canvases name what its sliders read."""


def test_strangers_and_complaints_are_seen(blank):
    script = "<script>console.error('ours'); console.warn('ours too'); throw Error('uncaught')</script>"
    blank.page.set_content(f"{script}<img src='http://font.example/a.png'><img src='http://192.0.2.1/b.png'>")
    blank.page.wait_for_load_state()
    assert blank.strangers == {"font.example", "192.0.2.1"}
    for wanted in ("error: ours", "warning: ours too", "uncaught: uncaught"):
        assert any(complaint.startswith(wanted) for complaint in blank.complaints), wanted


def test_all_cells_run_and_there_is_something_to_slide_and_to_see(opened, screenshots, request):
    assert opened.errors == []
    assert opened.sliders
    opened.wait_until(opened.complete, "there are pictures, none of them empty")
    opened.settle()
    assert opened.numbers()
    opened.picture_of(screenshots / f"{request.node.callspec.id}.png")
    opened.page.screenshot(path=screenshots / f"{request.node.callspec.id}-page.png")


def test_the_web_page_is_usable_soon(opened):
    if not opened.seconds:
        pytest.skip("is about Voilà's page")
    busy = os.getloadavg()[0] / os.cpu_count()
    if opened.seconds > APP_SECONDS and busy > 1.5:
        pytest.skip(f"took {opened.seconds:.0f} s with {busy:.1f} busy processes a core, which says nothing")
    assert opened.seconds <= APP_SECONDS


def test_a_key_moves_each_slider_and_the_pictures_follow(opened):
    told = {opened.numbers()}
    for slider in opened.sliders:
        opened.settle()
        first, value, label = opened.pictures(), slider.value, slider.label
        there, back = ("ArrowRight", "ArrowLeft") if slider.place < 1 else ("ArrowLeft", "ArrowRight")
        slider.press(there)
        opened.wait_until(lambda: opened.pictures() != first, f"{label} {there} changes a picture")  # noqa: B023
        assert slider.value != value, label
        opened.settle()
        told.add(opened.numbers())
        slider.press(back)
        opened.wait_until(lambda: opened.pictures() == first, f"{label} {back} brings the pictures back")  # noqa: B023
        assert slider.value == value, label
    assert len(told) > 1


def test_the_last_picture_belongs_to_the_last_value(opened, screenshots, request):
    """Drags there and back end at values whose pictures are known from slow steps."""
    for number in range(len(opened.sliders)):
        drag_and_return(opened, opened.sliders[number], screenshots / f"{request.node.callspec.id}-{number}.png")


def drag_and_return(opened, slider, picture):
    opened.settle()
    first, value, place, label = opened.pictures(), slider.value, slider.place, slider.label
    slider.drag(0.15 if place > 0.5 else 0.85)
    opened.wait_until(lambda: opened.pictures() != first, f"dragging {label} changes a picture")
    assert slider.value != value, label
    opened.settle()
    dragged = opened.pictures()
    opened.picture_of(picture)
    there, back = ("ArrowLeft", "ArrowRight") if slider.place > place else ("ArrowRight", "ArrowLeft")
    slider.press(there)
    opened.wait_until(lambda: opened.pictures() != dragged, f"a key after dragging {label} changes a picture")
    slider.press(back)
    opened.wait_until(lambda: opened.pictures() == dragged, f"slowly back, {label} shows what it did after the drag")
    slider.drag(place)
    for _ in range(5):  # a drag may end a stop beside it
        if slider.value != value:
            slider.press("ArrowLeft" if slider.place > place else "ArrowRight")
    opened.wait_until(lambda: opened.pictures() == first, f"dragged back, {label} = {value} shows its pictures")
    opened.settle()
    assert opened.pictures() == first, f"something late replaced the pictures of {label} = {value}"


def test_every_canvas_says_the_values_it_shows(opened):
    if not opened.states():
        pytest.skip("the canvases of this page carry no state")
    for number, (label, named) in enumerate(STATES.items()):
        slider = opened.slider(label)
        slider.drag(0.3 if slider.place > 0.5 else 0.7)
        wanted = named(slider.value)
        opened.wait_until(lambda: all(wanted in each for each in opened.states()), f"all say {wanted}")  # noqa: B023
        slider.press("ArrowLeft", 3 + number)
        wanted = named(slider.value)
        opened.wait_until(lambda: all(wanted in each for each in opened.states()), f"all say {wanted}")  # noqa: B023
    opened.settle()
    for label, named in STATES.items():
        assert {named(opened.slider(label).value) in each for each in opened.states()} == {True}, label


def test_sliders_and_pictures_are_read_out_as_they_look(opened):
    for slider in opened.sliders:
        value = slider.value
        assert slider.handle.get_attribute("aria-label") == slider.label
        slider.press("ArrowLeft" if slider.place > 0 else "ArrowRight")
        opened.wait_until(lambda: slider.value != value, f"{slider.label} moves")  # noqa: B023
        opened.wait_until(lambda: slider.handle.get_attribute("aria-valuetext") == slider.value, "it is read out")  # noqa: B023
    opened.settle()
    pictures = opened.page.locator(".jupyter-widgets :is(canvas, .live-plot)")
    words = [each.get_attribute("aria-label") or "" for each in pictures.all()]
    stands = [f"{slider.label} {slider.value}" for slider in opened.sliders if slider.label != "image"]
    assert words and all(any(stand in each for stand in stands) or "probable" in each for each in words), words
    controls = opened.page.locator(".jp-OutputArea-output button:not([hidden])").all()
    assert all(each.get_attribute("aria-label") or each.inner_text().strip() for each in controls)


def test_the_panel_keeps_to_the_page_at_every_width(opened, screenshots, request):
    for width in (390, 820, 1440):
        opened.page.set_viewport_size({"width": width, "height": VIEWPORT["height"]})
        opened.page.wait_for_timeout(300)
        opened.settle()
        places = opened.page.locator(".jupyter-widgets :is(canvas, .main-svg, .widget-slider, button)")
        boxes = [box for each in places.all() if (box := each.bounding_box())]
        frame = opened.page.locator(PANEL).last.bounding_box()
        assert max(box["x"] + box["width"] for box in boxes) <= frame["x"] + frame["width"] + 1, width
        opened.page.screenshot(path=screenshots / f"{request.node.callspec.id}-{width}.png")
    opened.page.set_viewport_size(VIEWPORT)
    opened.page.wait_for_timeout(300)
    opened.settle()


def test_nothing_serious_stands_in_the_path_of_screen_readers(opened):
    """`SEMANTICNN_AXE` names axe.min.js of the npm package axe-core."""
    if not (axe := os.environ.get("SEMANTICNN_AXE")):
        pytest.skip("SEMANTICNN_AXE does not name an axe.min.js: npm install axe-core")
    if not opened.seconds:
        pytest.skip("is about Voilà's page; JupyterLab's own faults are not ours")
    opened.page.evaluate(Path(axe).read_text(encoding="utf-8"))
    found = opened.page.evaluate("async () => (await axe.run()).violations.map((each) => [each.impact, each.id])")
    assert [each for each in found if each[0] in ("serious", "critical")] == []


def test_no_tool_leads_from_a_plot_to_a_cloud(opened):
    if not opened.page.locator(".js-plotly-plot").count():
        pytest.skip("no plot on this page")
    assert opened.page.locator(".modebar-btn").count() == 0


def test_a_picture_is_downloaded(opened):
    button = opened.page.get_by_role("button", name="save the picture")
    if not button.count():
        pytest.skip("no picture can be saved on this page")
    with opened.page.expect_download() as download:
        button.click()
    assert download.value.suggested_filename.startswith("ber=")
    assert Image.open(download.value.path()).size[0] > 1000


def test_a_file_is_shown_or_refused_in_words(opened):
    picker = opened.page.locator(".jp-OutputArea-output input[type=file]")
    if not picker.count():
        pytest.skip("nothing can be uploaded on this page")
    picture = io.BytesIO()
    Image.new("CMYK", (90, 60), (200, 30, 0, 0)).save(picture, "JPEG")
    for name, content, answer in (
        ("notes.txt", b"no picture", "notes.txt is no image"),
        ("nothing.png", b"", "nothing.png is empty"),
        ("own.jpg", picture.getvalue(), "own.jpg: shown"),
    ):
        picker.set_input_files({"name": name, "mimeType": "image/*", "buffer": content})
        opened.wait_until(lambda: answer in opened.numbers(), f"the page says: {answer}")  # noqa: B023
    opened.wait_until(lambda: all("image=own own.jpg;" in each for each in opened.states()), "the own image is shown")
    opened.page.locator(".widget-dropdown", has_text="picture from").locator("select").select_option("test images")
    opened.wait_until(lambda: all("image=test " in each for each in opened.states()), "a test image is shown again")


def test_the_numbers_are_those_of_the_sliders(opened):
    if not opened.name.startswith("01"):
        pytest.skip("is about notebook 01, whose numbers name the sliders' values")
    centers, ber = opened.slider("centres"), opened.slider("bit error rate")
    for slider, key in ((centers, "ArrowRight"), (ber, "ArrowLeft")):
        for _ in range(2):
            slider.press(key)
            opened.settle()
            assert opened.numbers().endswith(f"with BER {ber.value}")
            count = int(centers.value)
            assert re.search(rf"of {count.bit_length() - 1} bits\b", opened.numbers())
            bars = opened.page.locator(".js-plotly-plot .bars .point path").count()
            assert bars == 2 * count


def test_the_console_is_quiet(opened):
    assert not opened.complaints, "\n".join(opened.complaints)


def test_nothing_leaves_this_machine(opened, asked_by_servers):
    assert opened.urls
    assert opened.strangers == set()
    assert asked_by_servers == []
