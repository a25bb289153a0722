"""Exercises: each has a cell that checks an answer before its folded solution, and the check knows right from wrong."""

import importlib
import re
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch

from semanticnn_core.runner.sources import NOTEBOOKS, find_sources, read_source
from semanticnn_core.studies import second_task
from semanticnn_core.studies.centers import learn_centers, random_start, with_centers
from semanticnn_core.studies.exercises import (
    notebook_01,
    notebook_02,
    notebook_03,
    notebook_04,
    notebook_05,
    notebook_06,
    notebook_07,
    notebook_08,
)
from semanticnn_core.studies.exercises.answers import MISSING, check_choice, check_number, check_percent
from semanticnn_core.studies.guesses import ahead_from, compare_guess, snr_for

LESSONS = find_sources()[1:]
EXERCISE = re.compile(r"^\*\*Exercise (\d)\.\*\*", re.MULTILINE)
CALL = re.compile(r"^ *check\.(\w+)\(", re.MULTILINE)
each_lesson = pytest.mark.parametrize("source", LESSONS, ids=lambda source: source.stem)

LATENTS = torch.randn(2000, generator=torch.Generator().manual_seed(0))
LEVELS = torch.tensor([-1.5, -0.5, 0.2, 2.0])
DIED = {
    0.0: pd.DataFrame({"label": [0, 0, 1, 1], "fate": ["found"] * 4}),
    0.1: pd.DataFrame({"label": [0, 0, 1, 1], "fate": ["found", "missed", "missed", "of another class"]}),
}


def toys(monkeypatch):
    """Return every check with a right answer and wrong ones; what would take long is replaced by what it would give."""
    quantizer = with_centers(LATENTS, LEVELS)
    use, step = quantizer.prior, float((LEVELS[-1] - LEVELS[0]) / 3)
    x = torch.linspace(-1.5, 2.0, 9001)[:, None]
    weight = torch.softmax(-4.0 * (x - LEVELS) ** 2 / step**2, 1)
    slope = float((2 * 4.0 / step**2 * (weight @ LEVELS**2 - (weight @ LEVELS) ** 2)).max())
    mean = use @ LEVELS
    variance = use @ (LEVELS - mean) ** 2
    believing = float((variance + ((LEVELS - mean) ** 2).mean()) / variance)  # sent and received are independent
    runs = [learn_centers(LATENTS, random_start(LATENTS, 4, seed), seed=seed) for seed in range(2)]
    lost = 100 * float(sum(run.distortion[-1] for run in runs) / 2)

    errors = pd.DataFrame({"system": "live", "ber": [0.0, 0.05], "feature_mse": [1.0, 4.0]})
    table = [(truth, own, abs(own - 0.02)) for truth in (0.01, 0.05) for own in (0.01, 0.02, 0.05)]
    believed = pd.DataFrame(table, columns=["ber", "believed", "error"])
    feature = torch.randn(200, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = (feature[:, 0].mean((1, 2)) > 0).long()
    monkeypatch.setattr(notebook_02, "received", lambda codec, sent, ber, seed: sent if len(sent) == 200 else 0 * sent)

    sure = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.1, 0.0], [0.2, 0.0]])
    agreement = pd.DataFrame({"seed": 0, "image": range(4), "agreement": [1.0, 1.0, 0.0, 1.0]})
    monkeypatch.setattr(notebook_03, "sweep", lambda *_, **__: agreement)
    network = SimpleNamespace(model=SimpleNamespace(answer_all=lambda split: sure))

    def scores(*_, steps=24, level="pixel"):
        return SimpleNamespace(gap=torch.full((3,), 1 / steps), scores=torch.full((1,), float(level == "pixel")))

    monkeypatch.setattr(notebook_04, "attribute", scores)
    left = lambda edge, sent, known, order, steps: torch.full((2, 3), 0.9 if order < 0 else 0.2)  # noqa: E731
    monkeypatch.setattr(notebook_04.truth, "masking_curve", left)
    monkeypatch.setattr(notebook_04, "window_boxes", lambda *_: torch.tensor([[0.0, 0.0, 0.5, 1.0]]))
    mask = torch.ones(1, 8, 8)

    work = lambda slice, *_: {"instructions": 1000 if slice.ratio == 1 else 420}  # noqa: E731
    monkeypatch.setattr(notebook_05, "costs_of", work)
    monkeypatch.setattr(notebook_05, "zig", lambda: None)
    monkeypatch.setattr(notebook_05, "build", lambda *_: None)
    counted = {"m7": 100, "m3": 400}
    profile = lambda core: SimpleNamespace(profile=lambda image: SimpleNamespace(instructions=counted[core]))  # noqa: E731
    monkeypatch.setattr(notebook_05, "Emulator", lambda program, core: profile(core))
    monkeypatch.setattr(notebook_07, "missed_share", lambda *_: 0.03)
    monkeypatch.setattr(notebook_08, "right_a_day", lambda system, split, seed, snr, factor: -abs(factor - 8))
    monkeypatch.setattr(notebook_08, "along", lambda *_: pd.DataFrame({"right": [True, True, True, False]}))
    day = pd.DataFrame({"ber": [0.01, 0.04, 0.06, 0.3]})
    flash = {"weights": 9, "thresholds": 4}

    return [
        (notebook_01.largest_slope, (LATENTS, LEVELS, 4.0), slope, [1.2 * slope, 0]),
        (notebook_01.lost_after, (LATENTS, 4, 2), lost, [lost / 100, lost + 2]),
        (notebook_01.believing_costs, (quantizer,), believing, [2 * believing, 1]),
        (notebook_01.order_changes, (quantizer,), "no", ["yes"]),
        (notebook_02.channel_share, (errors, "live"), 75, [0.75, 25, 80]),
        (notebook_02.own_head, (None, (feature, labels), (feature, labels)), 100, [50, 90]),
        (notebook_02.least_regret, (believed,), 2, [1, 5]),
        (notebook_03.sendings, (384,), 21.6, [1, 3072, 3.07]),
        (notebook_03.unsure_share, (network, None, 0.05), 100, [50, 0]),
        (notebook_04.points_needed, (None, None, None), 32, [2, 8, 128]),
        (notebook_04.better_left_out, (None, None, None), "pixels", ["channels"]),
        (notebook_04.place_lost, (), 4.2, [0.042, 41, 10]),
        (notebook_04.digit_kept, (None, mask, mask, 0.5), 50, [0.5, 100, 60]),
        (notebook_05.comparisons, (), 6, [63, 64, 5]),
        (notebook_05.work_left, (None, None, None, None), 42, [0.42, 50, 58]),
        (notebook_05.times_on_m3, (None, None), 4, [0.25, 2, 3]),
        (notebook_05.largest_table, (flash,), "weights", ["thresholds"]),
        (notebook_06.values_a_position, (384,), 64, [48, 36]),
        (notebook_06.sign_worth, (), 0.8, [0.9, 1, -0.8]),
        (notebook_07.misnamed_share, (DIED,), 100 / 3, [0.33, 25, 50]),
        (notebook_07.missed_below, (None, None, 0, 0.15, 0.1), 3, [0.03, 5]),
        (notebook_07.weakest_class, (DIED, ("0", "1")), "1", ["0"]),
        (notebook_08.best_factor, (None, None, 0), 8, [7, 9, 12]),
        (notebook_08.bad_moments, (day,), 50, [0.5, 25]),
        (notebook_08.right_with_bpsk, (None, None, 0), 75, [0.75, 89]),
    ]


@pytest.fixture
def said(capsys):
    def listen(check, *given):
        check(*given)
        return capsys.readouterr().out.rstrip("\n")

    return listen


def printed(cell):
    return "".join(each.get("text", "") for each in cell.get("outputs", [])).splitlines()


def checks_of(source):
    """Return the module that checks a notebook's exercises, and its checks in order."""
    module = importlib.import_module(f"semanticnn_core.studies.exercises.notebook_{source.stem[:2]}")
    functions = {
        name: each for name, each in vars(module).items() if getattr(each, "__module__", "") == module.__name__
    }
    return [name for name, each in functions.items() if each.__doc__.startswith("Check exercise")]


@pytest.mark.slow
def test_every_check_takes_what_is_right_and_refuses_what_is_wrong(monkeypatch, said):
    for check, rest, right, wrong in toys(monkeypatch):
        assert said(check, right, *rest).startswith("right: "), check.__name__
        for answer in wrong:
            text = said(check, answer, *rest)
            assert text.startswith("not yet."), (check.__name__, answer, text)
            assert len(text) > 20 and not re.search(rf"\b{right}\b", text), (check.__name__, text)


@pytest.mark.slow
def test_every_check_answers_nothing_and_other_kinds_in_words(monkeypatch, said):
    for check, rest, *_ in toys(monkeypatch):
        assert said(check, None, *rest) == MISSING
        for other in ("a lot", [1, 2], torch.ones(3), pd.DataFrame(), float("nan"), float("inf"), -5.0, True, print):
            text = said(check, other, *rest)
            assert text.startswith(("`answer` must be a number", "`answer` must be one of")), (check.__name__, text)
            assert ", got " in text and "\n" not in text


@pytest.mark.slow
def test_every_check_is_among_those_tried(monkeypatch):
    tried = [check.__name__ for check, *_ in toys(monkeypatch)]
    assert sorted(tried) == sorted(name for source in LESSONS for name in checks_of(source))


def test_numbers_of_libraries_count_as_numbers(said):
    for answer in (np.float32(2.5), torch.tensor(2.5), torch.tensor([2.5]), pd.Series([2.5]).mean(), 2.52):
        assert said(check_number, answer, lambda: 2.5, 0.05) == "right: 2.5"
    assert said(check_number, 2.6, lambda: 2.5, 0.05) == "not yet."
    assert said(check_choice, "  Pixels ", lambda: "pixels", ("pixels", "channels")) == "right: pixels"
    assert said(check_choice, 8.0, lambda: 8, (2, 8)) == "right: 8"
    assert said(check_choice, 3, lambda: 8, (2, 8)) == "`answer` must be one of 2, 8, got 3"


def test_a_share_for_per_cent_is_named(said):
    assert said(check_percent, 0.4, lambda: 0.4, 1.0, "Look.") == (
        "not yet. Look. (It is asked in per cent: a share of 0.05 is 5.)"
    )
    assert said(check_percent, 140, lambda: 0.4, 1.0) == "`answer` must be a number between 0 and 100 (in %), got 140"
    assert said(check_percent, 0.4, lambda: 0.004, 0.1) == "right: 0.4 %"


def test_nothing_is_computed_without_an_answer(said):
    def dear():
        raise AssertionError

    assert said(check_number, None, dear) == MISSING
    assert said(check_choice, "other", dear, ("a", "b")).startswith("`answer` must be one of a, b")


def test_without_masks_there_is_nothing_to_check(said):
    assert "nothing to check" in said(notebook_04.digit_kept, 5, None, None, None, 0.5)


@each_lesson
def test_every_exercise_is_checked_before_its_solution(source):
    cells, called = read_source(source).cells, []
    asked = [
        (number, EXERCISE.findall(cell.source)) for number, cell in enumerate(cells) if "**Exercise" in cell.source
    ]
    assert [found for _, found in asked] == [[str(number)] for number in range(1, len(asked) + 1)]
    assert len(asked) >= 2
    for number, _ in asked:
        question, check, solution = cells[number : number + 3]
        assert "?" in EXERCISE.split(question.source)[-1] and "#" not in EXERCISE.split(question.source)[-1]
        assert check.metadata.get("tags", []) == [] and 2 <= len(check.source.splitlines()) <= 4
        assert re.search(r"^answer = None  # .+$", check.source, re.MULTILINE)
        (name,) = CALL.findall(check.source)
        assert solution.metadata.tags == ["solution"] and CALL.findall(solution.source)[-1] == name
        called.append(name)
    assert called == checks_of(source)


@each_lesson
def test_solutions_agree_with_the_checks(source):
    cells = nbformat.read(NOTEBOOKS / f"{source.stem}.ipynb", as_version=4).cells
    solutions = [number for number, cell in enumerate(cells) if cell.metadata.get("tags") == ["solution"]]
    assert len(solutions) == len(checks_of(source))
    for number in solutions:
        assert printed(cells[number - 1]) == [MISSING]
        assert any(line.startswith("right: ") for line in printed(cells[number])), cells[number].source


def test_a_guess_stands_beside_what_was_measured(said):
    assert said(compare_guess, None, 2.345, "%") == "measured 2.35 %"
    assert said(compare_guess, 5, torch.tensor(2.3), "%") == "you guessed 5 %, measured 2.3 %"
    assert said(compare_guess, "the file", "ours") == "you guessed the file, measured ours"
    assert said(compare_guess, 8, None, "%") == "you guessed 8 %, nothing was measured here"


def test_what_is_guessed_is_measured():
    assert snr_for(0.05, 12) < snr_for(0.05, 7) < 0
    table = pd.DataFrame({0.001: [0.8, 0.9], 0.01: [0.9, 0.8], 0.1: [0.1, 0.7]}, index=["file", "ours"])
    assert ahead_from(table, "ours", "file", [0.001, 0.01, 0.1]) == 10  # not 0.1: in between it is behind
    assert ahead_from(table, "file", "ours", [0.1]) is None and ahead_from(table, "ours", "nobody", [0.01]) is None


def test_a_head_for_a_second_task_is_fitted_in_one_step():
    image = torch.full((2, 3, 16, 16), 100, dtype=torch.uint8)
    image[0, :, 6:10, 6:10] = 200
    image[1, :, 6:10, 6:10] = 0
    mask = torch.zeros(2, 16, 16, dtype=torch.bool)
    mask[:, 6:10, 6:10] = True
    assert second_task.lighter({"image": image, "mask": mask}).tolist() == [1, 0]
    assert second_task.lighter({"image": image}).tolist() == [1, 0]
    feature = torch.randn(400, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = (feature[:, 1, :2, :2].mean((1, 2)) > 0).long()  # the first of 8 × 8 fields
    head = second_task.fit_head(feature[:300], labels[:300])
    assert second_task.right_share(head, feature[300:], labels[300:]) > 0.75
    assert second_task.right_share(head, -feature[300:], labels[300:]) < 0.25
