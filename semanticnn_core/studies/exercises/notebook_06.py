"""Exercises of notebook 06: bytes that are saved, and what a received sign is worth."""

from typing import Any

from semanticnn_core.studies.exercises.answers import check_number


def values_a_position(answer: Any, size: int, positions: int = 48) -> None:
    """Check exercise 1: how many values of one bit a position can have, with `positions` of them in `size` bytes."""
    hint = "The bytes stay what they are: how many bits are that, and how many positions share them?"
    check_number(answer, lambda: 8 * size // positions, unit="values", hint=hint)


def sign_worth(answer: Any, ber: float = 0.1) -> None:
    """Check exercise 2: the mean of what was sent, given that a sign of +1 arrived."""
    hint = "It is right with which probability, wrong with which, and what was sent then?"
    check_number(answer, lambda: 1 - 2 * ber, within=0.005, span=(-1.0, 1.0), hint=hint)
