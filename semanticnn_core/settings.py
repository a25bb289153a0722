"""Frozen, validated settings: every value a user can give is checked here, by name."""

import math
import numbers
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

POSITIVE = 1e-9
"""Least value of a setting that must be above 0, as messages say it."""


def setting(default: Any, low: float | None = None, high: float | None = None) -> Any:
    """Return a dataclass field whose number(s) must lie in [low, high]."""
    return field(default=default, metadata={"low": low, "high": high})


_checking = ContextVar("checking", default=True)


@contextmanager
def unchecked() -> Iterator[None]:
    """Within it settings are made as they come; the command line then checks them, naming options as typed."""
    token = _checking.set(False)
    try:
        yield
    finally:
        _checking.reset(token)


class Settings:
    """Base of all settings: checks types and ranges on creation, expands `~` in paths, refuses unknown keys."""

    def __post_init__(self) -> None:
        if not _checking.get():
            return
        hints = typing.get_type_hints(type(self))
        for each in fields(self):
            value = _checked_type(each.name, getattr(self, each.name), hints[each.name])
            object.__setattr__(self, each.name, value)
            for number in value if isinstance(value, tuple) else (value,):
                _check_range(each.name, number, each.metadata)
        self.check_together()

    def check_together(self) -> None:
        """Check what concerns several fields at once."""

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, ready for JSON (infinities as strings)."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "typing.Self":
        """Build settings from plain values; an unknown key is a ValueError that names it."""
        known = [each.name for each in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"{cls.__name__} has no setting {unknown[0]!r}; it has {', '.join(known)}")
        return cls(**{name: _from_plain(value) for name, value in values.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _from_plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_from_plain(each) for each in value)
    return float(value) if value in ("inf", "-inf") else value


def _checked_type(name: str, value: Any, hint: Any) -> Any:
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in args:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, args))}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            raise ValueError(f"{name} must be a sequence, got {value!r}")
        if args[-1] is Ellipsis:
            return tuple(_checked_type(name, each, args[0]) for each in value)
        if len(value) != len(args):
            raise ValueError(f"{name} must hold {len(args)} values, got {len(value)}: {value!r}")
        return tuple(_checked_type(name, each, arg) for each, arg in zip(value, args, strict=True))
    if origin in (typing.Union, types.UnionType):
        words = [word for each in args if typing.get_origin(each) is Literal for word in typing.get_args(each)]
        return value if value is None or value in words else _checked_type(name, value, args[0])
    kinds = {int: numbers.Integral, float: numbers.Real}  # numpy's and pandas' numbers too
    if hint in kinds and isinstance(value, kinds[hint]) and not isinstance(value, bool):
        return hint(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{name} must be of type {hint.__name__}, got {value!r} ({type(value).__name__})")
    return value.expanduser() if isinstance(value, Path) else value


def _check_range(name: str, value: Any, metadata: typing.Mapping[str, Any]) -> None:
    low, high = metadata.get("low"), metadata.get("high")
    if value is None or isinstance(value, str) or (low is None and high is None):
        return
    if math.isnan(value) or (low is not None and value < low) or (high is not None and value > high):
        lowest = "(0" if low == POSITIVE else f"[{low:g}"
        span = f"at least {low:g}" if high is None else f"in {lowest}, {high:g}]"
        raise ValueError(f"{name} must be {span}, got {value!r}")
