"""The one training loop: seeded, resumable to the same numbers, on any devices through Accelerate."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from semanticnn_core.config import TrainConfig
from semanticnn_core.datasets.base import ImageSplit
from semanticnn_core.training.memory import keep_freed_memory


class TrainingDiverged(RuntimeError):
    """The loss stopped being a number."""


@dataclass
class Progress:
    """What step and validation functions may want to know: where training is, and its random numbers."""

    epoch: int
    fraction: float  # of all steps done, in [0, 1)
    generator: torch.Generator


Step = Callable[[nn.Module, dict[str, Tensor], Progress], dict[str, Tensor]]


@dataclass
class _History:
    """Rows of the training log; part of the resumable state."""

    rows: list[dict[str, float]] = field(default_factory=list)

    def state_dict(self) -> dict:
        return {"rows": json.dumps(self.rows)}

    def load_state_dict(self, state: dict) -> None:
        self.rows = json.loads(state["rows"])


def accelerator_for(config: TrainConfig) -> Accelerator:
    """Return the Accelerator that all trainings here use: seedable order, one seed for every process."""
    keep_freed_memory()
    return Accelerator(dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed))


def fit(
    model: nn.Module,
    step: Step,
    validate: Callable[[nn.Module], dict[str, float]],
    split: ImageSplit,
    config: TrainConfig,
    accelerator: Accelerator,
    *,
    run_dir: Path | None = None,
    resume: bool = False,
    title: str = "training",
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place and leave it with its best weights; returns one row of numbers an epoch.

    step: returns the terms of the loss for a batch, the one called `loss` being minimised.
    validate: returns numbers of which `score` (higher is better) chooses the weights that are kept.
    run_dir: where the state is saved after each epoch; with None nothing is written.
    resume: go on from the state in `run_dir`, to the same numbers as without the break.
    Raises TrainingDiverged when the loss is not finite, ValueError when the state is of a training with other
    settings, another number of images or another network.
    """
    loader = DataLoader(
        split, batch_size=config.batch_size, shuffle=True, collate_fn=_as_is, drop_last=len(split) > config.batch_size
    )
    optimizer = torch.optim.AdamW(_decayed(model, config.weight_decay), lr=config.learning_rate)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    total = config.epochs * len(loader)
    steps = total + 1 + (config.warmup * (total + 1) == 1)  # a rise of one step would have no length
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer.optimizer, config.learning_rate, total_steps=steps, pct_start=config.warmup
    )
    history = _History()
    accelerator.register_for_checkpointing(scheduler, history)
    inner = accelerator.unwrap_model(model)
    best, first = _weights(inner), 0
    if run_dir is not None and resume:
        best, first = _load_state(accelerator, run_dir, _settings(config, split), best)
    elif run_dir is not None:
        _forget_states(accelerator, run_dir)
    images = config.batch_size * accelerator.num_processes
    bar = tqdm(
        total=total * images,
        initial=first * len(loader) * images,
        unit="img",
        desc=title,
        mininterval=0.5,
        disable=not accelerator.is_main_process,
        smoothing=0.05,
    )
    with bar:
        for epoch in range(first, config.epochs):
            set_seed((config.seed * 100_003 + epoch) % 2**32)
            loader.set_epoch(epoch)
            generator = torch.Generator(accelerator.device)
            generator.manual_seed((config.seed * 1009 + epoch) * 1009 + accelerator.process_index)
            model.train()
            sums: dict[str, float] = {}
            for index, batch in enumerate(loader):
                progress = Progress(epoch, (epoch + index / len(loader)) / config.epochs, generator)
                terms = step(model, batch, progress)
                values = {name: float(value.detach()) for name, value in terms.items()}
                if not math.isfinite(values["loss"]):
                    raise TrainingDiverged(
                        f"{title}: the loss is {values['loss']} in epoch {epoch + 1}, step {index + 1} ({values}); "
                        f"try a learning_rate below {config.learning_rate:g}"
                    )
                optimizer.zero_grad()
                accelerator.backward(terms["loss"])
                accelerator.clip_grad_norm_(model.parameters(), config.gradient_clip)
                optimizer.step()
                scheduler.step()
                sums = {name: sums.get(name, 0.0) + value for name, value in values.items()}
                bar.update(images)
                bar.set_postfix(
                    epoch=f"{epoch + 1}/{config.epochs}", loss=f"{sums['loss'] / (index + 1):.4f}", refresh=False
                )
            means = {name: value / len(loader) for name, value in sums.items()}
            inner.eval()
            _agree(accelerator, inner)
            means |= validate(inner)
            history.rows.append({"epoch": epoch + 1, **means})
            if means["score"] >= max(row["score"] for row in history.rows):
                best = _weights(inner)
            if on_epoch is not None:
                on_epoch(history.rows[-1])
            if run_dir is not None:
                _save_state(accelerator, run_dir, _settings(config, split), best, epoch + 1)
    inner.load_state_dict(best)
    inner.eval()
    return history.rows


def _agree(accelerator: Accelerator, model: nn.Module) -> None:
    """Average over the processes what each counted by itself, so that all validate, and keep, the same model."""
    if accelerator.num_processes > 1:
        for statistic in model.buffers():
            if statistic.is_floating_point():
                statistic.copy_(accelerator.reduce(statistic, "mean"))


def _as_is(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return batch


def _decayed(model: nn.Module, weight_decay: float) -> list[dict]:
    """Decay the weights of convolutions and linear layers alone."""
    parameters = [each for each in model.parameters() if each.requires_grad]
    return [
        {"params": [each for each in parameters if each.dim() > 1], "weight_decay": weight_decay},
        {"params": [each for each in parameters if each.dim() <= 1], "weight_decay": 0.0},
    ]


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}


def _settings(config: TrainConfig, split: ImageSplit) -> dict:
    """Return what a resumed training must have in common with the one it goes on with."""
    return config.to_dict() | {"images": len(split)}


def _save_state(accelerator: Accelerator, run_dir: Path, settings: dict, best: dict, epoch: int) -> None:
    """Write the state of a finished epoch beside the previous one, then remove that."""
    final = Path(run_dir) / f"epoch-{epoch:05d}"
    accelerator.wait_for_everyone()
    shared = final.with_name(f".{final.name}.tmp")
    accelerator.save_state(str(shared))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        save_file(best, shared / "best.safetensors")
        (shared / "config.json").write_text(json.dumps(settings, indent=2))
        if final.exists():
            shutil.rmtree(final)
        shared.rename(final)
        _forget_states(accelerator, run_dir, final.name)
    accelerator.wait_for_everyone()


def _forget_states(accelerator: Accelerator, run_dir: Path, but: str = "") -> None:
    """Remove the states of earlier epochs, or of an earlier training."""
    if accelerator.is_main_process:
        for old in Path(run_dir).glob("epoch-*"):
            if old.name != but:
                shutil.rmtree(old)


def _load_state(accelerator: Accelerator, run_dir: Path, settings: dict, best: dict) -> tuple[dict, int]:
    """Load the newest finished epoch, if there is one; returns the best weights and the epochs done."""
    states = sorted(Path(run_dir).glob("epoch-*"))
    if not states:
        return best, 0
    stored = json.loads((states[-1] / "config.json").read_text())
    for name, value in json.loads(json.dumps(settings)).items():
        if stored.get(name) != value:
            raise ValueError(
                f"{run_dir} was trained with {name} = {stored.get(name)!r}, not {value!r}; "
                "resume with the same settings, or start anew without --resume"
            )
    kept = load_file(states[-1] / "best.safetensors")
    if {name: value.shape for name, value in kept.items()} != {name: value.shape for name, value in best.items()}:
        raise ValueError(f"{run_dir} holds the training of another network; start anew without --resume")
    accelerator.load_state(str(states[-1]))
    return kept, int(states[-1].name.split("-")[1])
