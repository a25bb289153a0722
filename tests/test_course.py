"""The notebooks as a course: short, a thread from each to the next, links that lead somewhere, one list of symbols."""

import re

import nbformat
import pytest

from semanticnn_core.panels.voila.__main__ import OPTIONS
from semanticnn_core.runner import pages
from semanticnn_core.runner.notebooks import run_notebooks
from semanticnn_core.runner.sources import NOTEBOOKS, find_sources, read_source

WORDS, FIGURES, CELLS = 1400, 10, 40
SOURCES = find_sources()
LESSONS = SOURCES[1:]  # 00 is the playground
PLAN = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\(([^)\s]+)\)")
FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$]*\$", re.DOTALL)
SYMBOL = re.compile(
    r"\\(?:alpha|beta|gamma|delta|Delta|lambda|phi|rho|sigma|tau|theta)\b|(?<![\\A-Za-z])[A-Za-z](?![A-Za-z])"
)
each_notebook = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
each_lesson = pytest.mark.parametrize("source", LESSONS, ids=lambda source: source.stem)


def prose(source):
    """All markdown of a notebook."""
    return "\n\n".join(cell.source for cell in read_source(source).cells if cell.cell_type == "markdown")


def count_words(text):
    """Count words as a reader does: without formulas, fenced code, the targets of links, and tags."""
    without = re.sub(r"```.*?```|\]\([^)]*\)|<[^>]*>", " ", FORMULA.sub(" ", text), flags=re.DOTALL)
    return len(re.findall(r"\w+", without))


def row_of(source):
    """Return what the course plan says of a notebook: needs, minutes, what one can say afterwards."""
    row = re.search(rf"^\| \[[^]]+\]\({source.stem}\.ipynb\) \|(.*)\|$", PLAN, re.MULTILINE)
    return [cell.strip() for cell in row[1].split("|")]


def symbols_of(text):
    """Return the letters that stand for something in the formulas of a text."""
    found = set()
    for formula in FORMULA.findall(text):
        bare = re.sub(r"\\(?:text|mathrm|mathbb|operatorname)\{[^}]*\}|\\(?:begin|end)\{[^}]*\}|\\!", " ", formula)
        found |= set(SYMBOL.findall(bare))
    return found


def test_words_are_counted_as_a_reader_does():
    text = "Two words.\n\n$$a + b$$ and $c$, [a link](far/away.md#x).\n\n```\nnot counted\n```\n<details>\n\nfolded"
    assert count_words(text) == 6


@each_notebook
@pytest.mark.slow
def test_no_notebook_is_long(source):
    cells = nbformat.read(NOTEBOOKS / f"{source.stem}.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    figures = sum("image/png" in output.get("data", {}) for output in outputs) + prose(source).count("![")
    assert count_words(prose(source)) <= WORDS
    assert figures <= FIGURES
    assert len(cells) <= CELLS


@each_lesson
def test_a_notebook_opens_with_what_the_plan_says_of_it(source):
    needs, minutes, afterwards = row_of(source)
    opening = read_source(source).cells[0].source
    needed = re.search(r"^- \*\*Needs:\*\* \[(\d\d)\]\((\w+)\.ipynb\)$", opening, re.MULTILINE)
    assert needed[1] == needs and needed[2].startswith(needs)
    assert f"- **Takes:** {minutes} minutes\n" in opening
    assert f"- **At its end you can say** {afterwards}." in opening.replace("\n  ", " ")


@each_lesson
def test_a_notebook_closes_with_a_summary_three_questions_and_the_way_on(source):
    last = read_source(source).cells[-1].source
    summary, questions = re.fullmatch(
        r"(?:.*\n)?## What to take along\n\n(.*)\n\n## Three questions\n\n(.*)", last, re.DOTALL
    ).groups()
    assert 3 <= len(re.findall(r"^- ", summary, re.MULTILINE)) <= 5
    asked, answered, onward = re.fullmatch(
        r"(.*)\n\n<details><summary>Answers</summary>\n\n(.*)\n\n</details>\n\n(.*)", questions, re.DOTALL
    ).groups()
    for numbered in (asked, answered):
        assert re.findall(r"^(\d)\. ", numbered, re.MULTILINE) == ["1", "2", "3"]
    assert asked.count("?") >= 3
    following = [f"{each.stem}.ipynb" for each in SOURCES[SOURCES.index(source) + 1 :]][:1] or ["README.md#plans"]
    assert LINK.findall(onward) == following


def test_the_playground_leads_on():
    last = read_source(SOURCES[0]).cells[-1]
    assert f"{LESSONS[0].stem}.ipynb" in LINK.findall(last.source)
    (tag,) = last.metadata.tags
    assert f"--TagRemovePreprocessor.remove_cell_tags={tag}" in OPTIONS  # Voilà serves one notebook alone


@each_lesson
def test_a_guess_is_asked_for_before_each_slider_and_compared(source):
    cells = read_source(source).cells
    panels = [number for number, cell in enumerate(cells) if "if interactive" in cell.source]
    assert panels
    for panel in panels:
        question, guess, answer = cells[panel - 2 : panel + 1]
        assert question.cell_type == "markdown"
        assert re.fullmatch(r"guess = None  # .+", guess.source)
        assert "compare_guess(guess, " in answer.source
    for number, cell in enumerate(cells):
        if cell.cell_type == "code" and cell.source.startswith("guess ="):
            later = [each.source for each in cells[number + 1 : number + 3]]
            assert any("compare_guess(guess, " in each for each in later), cell.source


@each_notebook
def test_details_are_whole_and_markdown_within(source):
    for cell in read_source(source).cells:
        if cell.cell_type == "markdown":
            opened = len(re.findall(r"\n\n<details><summary>\w+</summary>\n\n", cell.source))
            assert opened == cell.source.count("<details>") == len(re.findall(r"\n\n</details>(?:\n\n|$)", cell.source))


def test_links_lead_to_notebooks_and_headings():
    headings = {name.lower().replace(" ", "-") for name in re.findall(r"^## (.+)$", PLAN, re.MULTILINE)}
    for text in (PLAN, *map(prose, SOURCES)):
        for target in LINK.findall(text):
            name, _, place = target.partition("#")
            assert (NOTEBOOKS / name).is_file(), target
            assert not place or name == "README.md" and place in headings, target


@each_lesson
def test_a_handful_of_words_lead_to_the_glossary(source):
    linked = re.findall(r"\[([^]]+)\]\(README\.md#words\)", prose(source))
    assert 1 <= len(linked) <= 6
    known = re.findall(r"^\| ([^|]+) \|", PLAN.partition("## Words")[2].partition("## Symbols")[0], re.MULTILINE)
    words = {word.strip(" *") for row in known for word in re.split(r",|\(|\)", row)}
    for word in linked:
        assert {word.strip("*"), word.strip("*").removesuffix("s")} & words, word


def test_every_symbol_is_in_the_list_once():
    rows = re.findall(r"^\| ([^|]+) \|", PLAN.partition("## Symbols")[2], re.MULTILINE)
    listed = [symbol for row in rows for symbol in symbols_of(re.sub(r"_\w", "", row))]  # without indices
    assert len(listed) == len(set(listed)) > 30
    missing = {f"{source.stem}: {symbol}" for source in SOURCES for symbol in symbols_of(prose(source)) - set(listed)}
    assert not missing


@pytest.mark.slow
def test_pages_lead_to_the_course_plan(tmp_path):
    folder = tmp_path / "notebooks"
    (folder / "source").mkdir(parents=True)
    (folder / "README.md").write_text("# The plan\n\n[01](01_a.ipynb)\n\n## Words and *signs*\n", encoding="utf-8")
    (folder / "source/01_a.py").write_text("# %% [markdown]\n# # A\n#\n# [word](README.md#words-and-signs)\n")
    out = tmp_path / "out"
    for _ in range(2):  # written by the runner, so it may be replaced
        run_notebooks(out_dir=out, notebooks_dir=folder)
    course = (out / "course.html").read_text(encoding="utf-8")
    assert '<a href="01_a.html">' in course and 'id="words-and-signs"' in course and "<title>The plan</title>" in course
    assert '<a href="course.html#words-and-signs">' in (out / "01_a.html").read_text(encoding="utf-8")
    assert '<a href="course.html">' in (out / "index.html").read_text(encoding="utf-8")


def test_answers_are_folded_in_the_page(tmp_path):
    answers = "# Why?\n\n<details><summary>Answers</summary>\n\n1. Because $p$.\n\n</details>\n"
    (tmp_path / "README.md").write_text(answers, encoding="utf-8")
    page = pages.render_course(tmp_path / "README.md")
    folded = re.search(r"<details><summary>Answers</summary>(.*)</details>", page, re.DOTALL)[1]
    assert "<li>Because <math" in folded and "<li>Because" not in page.replace(folded, "")
