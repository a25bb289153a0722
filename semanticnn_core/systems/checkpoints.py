"""Published checkpoints: a folder of safetensors and JSON, never pickle."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import DEFAULT_CHECKPOINT, CodecConfig
from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.files import located, replacing
from semanticnn_core.tasks.split import SplitModel


class CheckpointError(ValueError):
    """A checkpoint is missing, incomplete or damaged; the message says which part and what to do."""


@dataclass
class Checkpoint:
    """A task network and the codec trained on it, with what is known about them."""

    name: str
    model: SplitModel
    codec: SemanticCodec | None
    about: dict[str, Any] = field(default_factory=dict)
    """`dataset`, `base` and `codec` (settings), `results`, `commands`: everything in config.json."""


def find_checkpoint(name: str, root: str | Path = "data") -> Path:
    """Return the folder of a checkpoint given by name (under `root`/checkpoints) or by path."""
    published = located(root) / "checkpoints"
    for folder in (published / name, Path(name)):
        if (folder / "config.json").is_file():
            return folder
    known = sorted(path.parent.name for path in published.glob("*/config.json"))
    raise CheckpointError(
        f"no checkpoint {name!r}: neither a folder with a config.json nor one of {', '.join(known) or 'none'} "
        f"under {published}. Train one with: semanticnn train-base, then semanticnn train"
    )


def checkpoint_for(dataset: str, root: str | Path = "data") -> str:
    """Return the name of the published checkpoint that was trained on a data set; the default one where none was."""
    for path in sorted((located(root) / "checkpoints").glob("*/config.json")):
        if json.loads(path.read_text()).get("dataset") == dataset:
            return path.parent.name
    return DEFAULT_CHECKPOINT


def load_checkpoint(name: str = DEFAULT_CHECKPOINT, root: str | Path = "data") -> Checkpoint:
    """Load a published checkpoint, ready for inference: task network frozen, both in evaluation mode."""
    folder = find_checkpoint(name, root)
    try:
        about = json.loads((folder / "config.json").read_text())
        base = about["base"]
        model = SplitModel.of(base["model"], base["classes"], base["image_size"], base["cut"])
        codec = SemanticCodec(CodecConfig.from_dict(about["codec"])) if "codec" in about else None
    except (ValueError, KeyError, TypeError) as error:  # no JSON, or not the settings of a checkpoint
        raise CheckpointError(f"{folder / 'config.json'} is damaged: {error!r}; restore or retrain it") from error
    _load(model, folder / "base.safetensors")
    if codec is not None:
        _load(codec, folder / "codec.safetensors")
        codec.eval().requires_grad_(False)
    return Checkpoint(folder.name, model.frozen(), codec, about)


def matching(data: ImageDataset, checkpoint: Checkpoint) -> ImageDataset:
    """Return a data set whose classes are as many as the checkpoint's network names; refuse another."""
    (classes,) = checkpoint.model.output_shape
    if len(data.classes) != classes:
        raise ValueError(
            f"{data.name} has {len(data.classes)} classes, the network of {checkpoint.name} tells {classes} apart; "
            f"train one for it: semanticnn train-base --dataset {data.name}"
        )
    return data


def save_checkpoint(folder: str | Path, model: SplitModel, codec: SemanticCodec | None, about: dict[str, Any]) -> None:
    """Write base.safetensors (half precision), codec.safetensors (float32) and, when both are there, config.json.

    Without a codec, one that lies in the folder from before goes, as it was made for another task network. A network
    that cannot be rebuilt and a codec that no device could run are refused before anything is written.
    """
    if not model.description:
        raise CheckpointError("only networks built by SplitModel.of can be published; save your own with torch.save")
    folder, about = Path(folder), {name: value for name, value in about.items() if name != "codec"}
    if codec is not None:
        check_exportable(codec)
    _save(folder / "base.safetensors", model, torch.float16)
    if codec is None:
        (folder / "codec.safetensors").unlink(missing_ok=True)
    else:
        with torch.no_grad():
            codec.quantizer.centers.copy_(codec.quantizer.levels)  # stored in ascending order
        _save(folder / "codec.safetensors", codec, torch.float32)
        about["codec"] = codec.config.to_dict()
    with replacing(folder / "config.json") as temporary:
        temporary.write_text(json.dumps({**about, "base": model.description}, indent=2) + "\n")


def check_exportable(codec: SemanticCodec) -> None:
    """Refuse centres that coincide, slopes that are not positive and a scale that is not a positive constant."""
    quantizer, encoder = codec.quantizer, codec.encoder
    levels = quantizer.levels
    if not (levels.isfinite().all() and (levels.diff() > 0).all()):
        raise CheckpointError(
            f"the centres must be finite and differ, got {levels.tolist()}; train longer, or with another seed"
        )
    slope = encoder.prelu.slope
    if not (slope.isfinite().all() and (slope > 0).all()):
        raise CheckpointError(f"the encoder's PReLU slopes must be > 0 and finite, got {slope.tolist()}")
    if encoder.scale.numel() != 1 or not 0 < float(encoder.scale) < float("inf"):
        raise CheckpointError(f"the encoder's scale must be one positive number, got {encoder.scale.tolist()}")
    if sorted(quantizer.code.tolist()) != list(range(len(quantizer.code))):
        raise CheckpointError(f"the code order must hold every code word once, got {quantizer.code.tolist()}")


def _save(path: Path, module: nn.Module, dtype: torch.dtype) -> None:
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in module.state_dict().items()
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary)


def _load(module: nn.Module, path: Path) -> None:
    try:
        module.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path} is missing, damaged or of another architecture: {error}") from error
