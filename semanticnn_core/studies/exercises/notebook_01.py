"""Exercises of notebook 01: slopes, starts, a receiver that believes, orders of code words."""

from typing import Any

import torch
from torch import Tensor

from semanticnn_core.codec import SoftQuantizer
from semanticnn_core.codec.code_order import optimal_order
from semanticnn_core.studies.centers import learn_centers, random_start, with_centers
from semanticnn_core.studies.exercises.answers import check_choice, check_number, check_percent


def largest_slope(answer: Any, latents: Tensor, levels: Tensor, sigma: float) -> None:
    """Check exercise 1: the slope of the soft staircase of centres (n,) where it is steepest."""

    def right() -> float:
        smooth = with_centers(latents, levels, sigma)
        x = torch.linspace(float(levels.min()), float(levels.max()), 4001).requires_grad_()
        (slope,) = torch.autograd.grad((smooth.soft_assign(x) @ smooth.levels).sum(), x)
        return float(slope.max())

    check_number(answer, right, relative=0.03, hint="Sum the soft staircase over many x and call backward().")


def lost_after(answer: Any, latents: Tensor, count: int, seeds: int, **settings: Any) -> None:
    """Check exercise 2: the mean share of the variance that is lost after learning, over starts by lot, in %."""

    def right() -> float:
        lots = [random_start(latents, count, seed) for seed in range(seeds)]
        runs = [learn_centers(latents, lot, **settings | {"seed": seed}) for seed, lot in enumerate(lots)]
        return float(torch.stack([run.distortion[-1] for run in runs]).mean())

    check_percent(answer, right, 0.4, hint="It is the last value of each run's `distortion`, a share, in the mean.")


def believing_costs(answer: Any, quantizer: SoftQuantizer) -> None:
    """Check exercise 3: the mean squared error of believing each symbol at p = 0.5, in variances of what is sent."""

    def right() -> float:
        levels, use = quantizer.levels, quantizer.prior / quantizer.prior.sum()
        believing = ((levels[:, None] - levels) ** 2 * use[:, None]).sum(0).mean()
        return float(believing / (use @ (levels - use @ levels) ** 2))

    hint = "All words are received equally often at p = 0.5, however unevenly they are sent."
    check_number(answer, right, within=0.03, unit="variances", hint=hint)


def order_changes(answer: Any, quantizer: SoftQuantizer) -> None:
    """Check exercise 4: whether the best order of code words is another for a receiver that believes each symbol."""

    def right() -> str:
        orders = [optimal_order(quantizer.levels, quantizer.prior, (1e-4, 0.05), rule) for rule in (True, False)]
        return "no" if torch.equal(*orders) else "yes"

    check_choice(answer, right, ("yes", "no"), "Compare what `optimal_order` finds for the two receivers.")
