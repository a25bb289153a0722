"""What a student's answer is: missing, right, not right yet, or of a kind that was not asked for."""

import math
from collections.abc import Callable, Sequence
from typing import Any

MISSING = "nothing to check yet: put your answer in `answer` and run this cell again"
PERCENT = "%"


def check_number(
    answer: Any,
    right: Callable[[], float],
    within: float = 0.0,
    relative: float = 0.0,
    unit: str = "",
    span: tuple[float, float] = (0.0, math.inf),
    hint: str = "",
) -> None:
    """Print whether a number is right: at most `within`, or the share `relative`, from `right()`, in the same unit.

    `right` is called only for a number in `span`. hint: where to look, printed when the answer is wrong.
    """
    value = _plain(answer)
    if answer is None:
        print(MISSING)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        print(f"`answer` must be a number{_in(unit)}, got {_shown(answer)}")
    elif not span[0] <= value <= span[1] or math.isinf(value):
        limits = f"at least {span[0]:g}" if math.isinf(span[1]) else f"between {span[0]:g} and {span[1]:g}"
        print(f"`answer` must be a number {limits}{_in(unit)}, got {value:g}")
    elif math.isclose(value, truth := float(right()), abs_tol=within, rel_tol=relative):
        print(f"right: {truth:.3g} {unit}".rstrip())
    else:
        share = " (It is asked in per cent: a share of 0.05 is 5.)" if unit == PERCENT and 0 < value < 1 else ""
        print(f"not yet. {hint}{share}".rstrip())


def check_percent(answer: Any, right: Callable[[], float], within: float, hint: str = "") -> None:
    """Print whether a number of per cent, 0 to 100, is at most `within` points from 100 times the share `right()`."""
    check_number(answer, lambda: 100 * float(right()), within, unit=PERCENT, span=(0.0, 100.0), hint=hint)


def check_choice(answer: Any, right: Callable[[], Any], options: Sequence[Any], hint: str = "") -> None:
    """Print whether the right one of several names or numbers was chosen; `right` is called for one of these only."""
    if answer is None:
        print(MISSING)
    elif (chosen := _name(answer)) not in (names := [_name(option) for option in options]):
        print(f"`answer` must be one of {', '.join(map(_short, options))}, got {_shown(answer)}")
    elif chosen == _name(right()):
        print(f"right: {_short(options[names.index(chosen)])}")
    else:
        print(f"not yet. {hint}".rstrip())


def _plain(answer: Any) -> Any:
    """Return the Python number in a scalar of NumPy, pandas or PyTorch; anything else as it is."""
    try:
        return answer.item()
    except (AttributeError, ValueError, RuntimeError, TypeError):  # no scalar, or more than one value
        return answer


def _name(answer: Any) -> str:
    return _short(_plain(answer)).strip().casefold()


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _in(unit: str) -> str:
    return f" (in {unit})" if unit else ""


def _shown(answer: Any) -> str:
    text = " ".join(repr(answer).split())
    return text if len(text) <= 40 else f"{text[:40]}…"
