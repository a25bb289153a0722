"""The one training loop: seeded, resumable to the same numbers, on any devices and processes through Accelerate."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration, PartialState
from accelerate.tracking import get_available_trackers
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from semanticnn_core.config import TrainConfig
from semanticnn_core.datasets.base import Split, collate
from semanticnn_core.draws import Draws
from semanticnn_core.training.average import running_average, weights_of
from semanticnn_core.training.memory import keep_freed_memory

Row = dict[str, float]


class TrainingDiverged(RuntimeError):
    """The loss stopped being a number."""


@dataclass
class Progress:
    """What step functions may want to know: where training is, and its random numbers."""

    epoch: int
    fraction: float  # of all steps done, in [0, 1)
    draws: Draws


Step = Callable[[nn.Module, dict[str, Tensor], Progress], dict[str, Tensor]]


@dataclass(frozen=True)
class Run:
    """How a training reports, and where it keeps its state.

    folder: where the state is saved after each epoch; None saves nothing.
    resume: go on from the state in `folder`, to the same numbers as without the break.
    facts: what else a resumed training must have in common with the one it goes on with, by name.
    on_epoch: called with each epoch's row of numbers. tracker: one of Accelerate's, for instance "tensorboard".
    """

    title: str = "training"
    folder: Path | None = None
    resume: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)
    on_epoch: Callable[[Row], None] | None = None
    tracker: str | None = None


SILENT = Run()
"""A run that keeps nothing."""


@dataclass
class _History:
    """Rows of the training log; part of the resumable state."""

    rows: list[Row] = field(default_factory=list)

    def state_dict(self) -> dict:
        return {"rows": json.dumps(self.rows)}

    def load_state_dict(self, state: dict) -> None:
        self.rows = json.loads(state["rows"])


def fit(
    model: nn.Module,
    step: Step,
    validate: Callable[[nn.Module], Row],
    split: Split,
    config: TrainConfig,
    run: Run = SILENT,
) -> list[Row]:
    """Train `model` in place and leave it with its averaged weights; returns one row of numbers an epoch.

    step: returns the terms of the loss for a batch, the one called `loss` being minimised.
    validate: returns numbers to watch, of the averaged weights; they choose nothing.
    Raises TrainingDiverged when the loss is not finite, ValueError when the state in the run's folder is of another
    training: other settings, data or networks.
    """
    accelerator = _accelerator(config, run)
    generator = torch.Generator(accelerator.device)
    draws = Draws(generator, accelerator.process_index, accelerator.num_processes)
    loader = DataLoader(
        split, batch_size=config.batch_size, shuffle=True, collate_fn=collate, drop_last=len(split) > config.batch_size
    )
    settings = {**config.to_dict(), "images": len(split), **run.facts, "start": fingerprint(model)}
    optimizer = torch.optim.AdamW(_decayed(model, config.weight_decay), lr=config.learning_rate)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    total = config.epochs * len(loader)
    steps = total + 1 + (config.warmup * (total + 1) == 1)  # a rise of one step would have no length
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer.optimizer, config.learning_rate, total_steps=steps, pct_start=config.warmup
    )
    history, inner = _History(), accelerator.unwrap_model(model)
    averaged = running_average(inner, config.average * total)
    accelerator.register_for_checkpointing(scheduler, history, averaged)
    first = 0
    if run.folder is not None and run.resume:
        first = _load_state(accelerator, run.folder, settings)
    elif run.folder is not None:
        _forget_states(accelerator, run.folder)
    images = min(config.batch_size, len(split))
    bar = tqdm(
        total=total * images, initial=first * len(loader) * images, unit="img", desc=run.title, mininterval=0.5,
        disable=not accelerator.is_main_process, smoothing=0.05,
    )  # fmt: skip
    with bar:
        for epoch in range(first, config.epochs):
            set_seed((config.seed * 100_003 + epoch) % 2**32)
            loader.set_epoch(epoch)
            generator.manual_seed((config.seed * 1009 + epoch) * 1009)
            model.train()
            sums: Row = {}
            for index, batch in enumerate(loader):
                progress = Progress(epoch, (epoch + index / len(loader)) / config.epochs, draws)
                terms = step(model, batch, progress)
                values = dict(zip(terms, torch.stack([each.detach() for each in terms.values()]).tolist(), strict=True))
                if not math.isfinite(values["loss"]):
                    raise TrainingDiverged(
                        f"{run.title}: the loss is {values['loss']} in epoch {epoch + 1}, step {index + 1} ({values}); "
                        f"try a learning_rate below {config.learning_rate:g}"
                    )
                optimizer.zero_grad()
                accelerator.backward(terms["loss"])
                accelerator.clip_grad_norm_(model.parameters(), config.gradient_clip)
                optimizer.step()
                scheduler.step()
                averaged.update_parameters(inner)
                sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
                bar.update(images)
                bar.set_postfix(_state(epoch, config, sums["loss"] / (index + 1), history.rows), refresh=False)
            totals = accelerator.reduce(torch.tensor(list(sums.values()), dtype=torch.float64, device="cpu"), "mean")
            means = {name: value / len(loader) for name, value in zip(sums, totals.tolist(), strict=True)}
            _agree(accelerator, inner)
            _agree(accelerator, averaged.module)
            with weights_of(averaged.module, inner):
                means |= validate(inner.eval())
            history.rows.append({"epoch": epoch + 1, **means})
            accelerator.log({f"{run.title}/{name}": value for name, value in means.items()}, step=epoch + 1)
            if run.on_epoch is not None:
                run.on_epoch(history.rows[-1])
            if run.folder is not None:
                _save_state(accelerator, run.folder, settings, epoch + 1)
    for tracker in accelerator.trackers:  # not end_training, which also parts the processes: stage 2 follows
        tracker.finish()
    inner.load_state_dict(averaged.module.state_dict())
    inner.eval()
    return history.rows


def training_device() -> torch.device:
    """Return where trainings run: this process' accelerator, or the CPU."""
    with _own_environment():
        return PartialState(cpu=not torch.accelerator.is_available()).device


def is_main_process() -> bool:
    """Return whether this process measures and writes: the only one, or the first of several."""
    training_device()
    return PartialState().is_main_process


@contextmanager
def placed(device: torch.device, *modules: nn.Module) -> Iterator[None]:
    """Within it modules are on a device; afterwards they are back where they were."""
    before = [next((each.device for each in module.state_dict().values()), device) for module in modules]
    for module in modules:
        module.to(device)
    try:
        yield
    finally:
        for module, earlier in zip(modules, before, strict=True):
            module.to(earlier)


def fingerprint(module: nn.Module) -> str:
    """Return a hash of all weights and buffers, by which a training knows its networks again."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def _own_environment() -> Iterator[None]:
    """Hide Accelerate's variables, whatever `accelerate launch` or a shell has set: the loop is for its defaults."""
    theirs = [name for name in os.environ if name.startswith("ACCELERATE_") and name != "ACCELERATE_USE_CPU"]
    kept = {name: os.environ.pop(name) for name in theirs}
    try:
        yield
    finally:
        os.environ.update(kept)


def _accelerator(config: TrainConfig, run: Run) -> Accelerator:
    """Return the Accelerator of a training: seedable order, a batch divided among the processes."""
    available = [str(each) for each in get_available_trackers()]
    if run.tracker and run.tracker not in available:
        known = f"there are {', '.join(available)}" if available else "none is installed"
        raise ValueError(
            f"the tracker {run.tracker!r} is not installed, {known}; for instance: pip install tensorboard"
        )
    keep_freed_memory()
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False  # the same numbers twice
    loading = DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed, split_batches=True)
    training_device()
    with _own_environment():
        accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(), dataloader_config=loading, mixed_precision="no",
            log_with=run.tracker, project_dir=run.folder if run.tracker else None,
        )  # fmt: skip
    if config.batch_size % accelerator.num_processes:
        raise ValueError(
            f"batch_size {config.batch_size} cannot be divided among {accelerator.num_processes} processes; "
            f"give a multiple of {accelerator.num_processes}"
        )
    if run.tracker:
        accelerator.init_trackers("semanticnn")
    return accelerator


def _state(epoch: int, config: TrainConfig, loss: float, rows: list[Row]) -> dict[str, str]:
    """Return what the bar says beside its images: epoch, loss, and the last validation."""
    validation = {name: f"{value:.4f}" for name, value in (rows[-1] if rows else {}).items() if "validation" in name}
    return {"epoch": f"{epoch + 1}/{config.epochs}", "loss": f"{loss:.4f}", **validation}


def _agree(accelerator: Accelerator, model: nn.Module) -> None:
    """Average over the processes what each counted by itself, so that all validate, and keep, the same model."""
    if accelerator.num_processes > 1:
        for statistic in model.buffers():
            if statistic.is_floating_point():
                statistic.copy_(accelerator.reduce(statistic, "mean"))


def _decayed(model: nn.Module, weight_decay: float) -> list[dict]:
    """Decay the weights of convolutions and linear layers alone."""
    parameters = [each for each in model.parameters() if each.requires_grad]
    return [
        {"params": [each for each in parameters if each.dim() > 1], "weight_decay": weight_decay},
        {"params": [each for each in parameters if each.dim() <= 1], "weight_decay": 0.0},
    ]


def _save_state(accelerator: Accelerator, folder: Path, settings: dict, epoch: int) -> None:
    """Write the state of a finished epoch beside the previous one, then remove that."""
    final = Path(folder) / f"epoch-{epoch:05d}"
    accelerator.wait_for_everyone()
    shared = final.with_name(f".{final.name}.tmp")
    accelerator.save_state(str(shared))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (shared / "config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
        if final.exists():
            shutil.rmtree(final)
        shared.rename(final)
        _forget_states(accelerator, folder, final.name)
    accelerator.wait_for_everyone()


def _forget_states(accelerator: Accelerator, folder: Path, but: str = "") -> None:
    """Remove the states of earlier epochs, or of an earlier training."""
    if accelerator.is_main_process:
        for old in Path(folder).glob("epoch-*"):
            if old.name != but:
                shutil.rmtree(old)


def _load_state(accelerator: Accelerator, folder: Path, settings: dict) -> int:
    """Load the newest finished epoch, if there is one; returns the epochs done."""
    states = sorted(Path(folder).glob("epoch-*"))
    if not states:
        return 0
    stored = json.loads((states[-1] / "config.json").read_text(encoding="utf-8"))
    for name, value in json.loads(json.dumps(settings)).items():
        if stored.get(name) != value:
            raise ValueError(
                f"{folder} holds a training with {name} = {stored.get(name)!r}, not {value!r}; "
                "resume with the same settings, data and networks, or start anew without --resume"
            )
    accelerator.load_state(str(states[-1]))
    return int(states[-1].name.split("-")[1])
