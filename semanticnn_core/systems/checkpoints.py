"""Published checkpoints: a folder of safetensors and JSON, never pickle."""

import json
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import DEFAULT_CHECKPOINT, CodecConfig
from semanticnn_core.datasets import load_dataset
from semanticnn_core.datasets.base import DataError, ImageDataset
from semanticnn_core.files import CHECKOUT, located, replacing, write_text
from semanticnn_core.tasks.split import CLASSIFIERS, DETECTORS, SplitModel
from semanticnn_core.tasks.state_dicts import Weights, read_state_dict

SEMANTICNN = "semanticnn"
"""What the codec of the paper is called in a checkpoint, when it has no name of its own."""
EARLIER = {"decoder": "transposed", "parity": 0.0}
"""What the codecs of checkpoints are whose settings do not say it: those made before there was a choice."""
KINDS: dict[str, Callable[[dict], nn.Module]] = {
    SEMANTICNN: lambda settings: SemanticCodec(CodecConfig.from_dict(EARLIER | settings))
}
"""How the trained part of each kind of system is built from its settings."""


class CheckpointError(ValueError):
    """A checkpoint is missing, incomplete or damaged; the message says which part and what to do."""


@dataclass
class Checkpoint:
    """A task network and what was trained on it, with what is known about them."""

    name: str
    model: SplitModel
    systems: dict[str, nn.Module] = field(default_factory=dict)
    """Trained parts of systems by name, ready for inference."""
    about: dict[str, Any] = field(default_factory=dict)
    """Everything in config.json: `dataset`, `classes`, `base`, `training`, `results`, `commands`, and for each of
    `systems` its `kind`, `settings`, `training`, `results`, `commands`."""

    @property
    def weights(self) -> Weights | None:
        """The file that holds the weights which the checkpoint leaves out, if it does."""
        about = self.about.get("weights")
        return Weights(**{**about, "own": tuple(about["own"])}) if about else None

    @property
    def codec(self) -> SemanticCodec:
        """The codec named `semanticnn`, or the only system there is."""
        return self.system(
            SEMANTICNN if SEMANTICNN in self.systems or len(self.systems) != 1 else next(iter(self.systems))
        )

    def system(self, name: str) -> Any:
        """Return the trained part of a system by name; a CheckpointError says which there are."""
        if name not in self.systems:
            there = f"it has {', '.join(self.systems)}" if self.systems else "it has none"
            raise CheckpointError(
                f"checkpoint {self.name} has no codec {name!r}, {there}; "
                f"make one: semanticnn train --checkpoint {self.name}"
            )
        return self.systems[name]

    def dataset(self, named: str = "") -> str:
        """Return the data set that is named, or the one that it was trained on; a CheckpointError where none is."""
        if not (name := named or self.about.get("dataset", "")):
            raise CheckpointError(f"{self.name} does not say what it was trained on; name it with --dataset")
        return name


def find_checkpoint(name: str, root: str | Path = "data") -> Path:
    """Return the folder of a checkpoint given by name (under `root`/checkpoints) or by path.

    The published ones are found whatever `root` is.
    """
    places = _places(root)
    for folder in (*(place / name for place in places), Path(name).expanduser()):
        if (folder / "config.json").is_file():
            return folder
    known = ", ".join(sorted({path.name for place in places for path, _ in _readable(place)}))
    raise CheckpointError(
        f"no checkpoint {name!r}: neither a folder with a config.json nor one of {known or 'none'} "
        f"under {' or '.join(map(str, places))}. Train one with: semanticnn train-base, then semanticnn train"
    )


def checkpoint_for(dataset: str, root: str | Path = "data") -> str:
    """Return the name of the published checkpoint that was trained on a data set; the default one where none was."""
    known = (each for place in _places(root) for each in _readable(place))
    return next((path.name for path, about in known if about.get("dataset") == dataset), DEFAULT_CHECKPOINT)


def _places(root: str | Path) -> list[Path]:
    """Return where checkpoints are looked for by name: under `root`, then where the published ones lie."""
    return list(dict.fromkeys((located(root) / "checkpoints", CHECKOUT / "data" / "checkpoints")))


def _readable(place: Path) -> Iterator[tuple[Path, dict]]:
    """Yield the folders below `place` whose config.json can be read, with its content; others are passed over."""
    for path in sorted(place.glob("*/config.json")):
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(about, dict) and not path.parent.name.startswith("."):
            yield path.parent, about


def load_checkpoint(name: str = DEFAULT_CHECKPOINT, root: str | Path = "data") -> Checkpoint:
    """Load a published checkpoint, ready for inference: task network frozen, all in evaluation mode."""
    folder = find_checkpoint(name, root)
    try:
        about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        base = about["base"]
        model = SplitModel.of(base["model"], base["classes"], base["image_size"], base["cut"], width=base.get("width"))
        systems = {name: KINDS[each["kind"]](each["settings"]) for name, each in about.get("systems", {}).items()}
        checkpoint = Checkpoint(folder.name, model, systems, about)
        weights = checkpoint.weights
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # no JSON, or not the settings of a checkpoint
        raise CheckpointError(f"{folder / 'config.json'} is damaged: {error!r}; restore or retrain it") from error
    if weights:
        try:
            read_state_dict(model, weights.find(root), weights.input)
        except ValueError as error:
            raise CheckpointError(f"checkpoint {folder.name} cannot be loaded: {error}") from error
        model.half_rounded()
    _load(model, folder / "base.safetensors", weights and weights.own)
    for system, module in systems.items():
        _load(module, folder / f"{system}.safetensors")
        module.eval().requires_grad_(False)
    model.frozen()
    return checkpoint


def open_checkpoint(
    name: str = "", dataset: str = "", root: str | Path = "data", download: bool = True
) -> tuple[Checkpoint, ImageDataset]:
    """Load a checkpoint, and the data set it was trained on or another that fits.

    name: the published one of the data set when left out. dataset: the one that the checkpoint names when left out.
    Raises CheckpointError or DataError when either is missing, damaged, or does not fit the other.
    """
    checkpoint = load_checkpoint(name or (checkpoint_for(dataset, root) if dataset else DEFAULT_CHECKPOINT), root)
    data = load_dataset(checkpoint.dataset(dataset), root, checkpoint.model.image_size, download=download)
    return checkpoint, matching(data, checkpoint)


def matching(data: ImageDataset, checkpoint: Checkpoint) -> ImageDataset:
    """Return a data set whose classes are those of the checkpoint's network.

    Another number of classes is a CheckpointError, other names are a warning.
    """
    known, count = (
        checkpoint.about.get("classes"),
        checkpoint.about.get("base", checkpoint.model.description)["classes"],
    )
    if len(data.classes) != count:
        raise CheckpointError(
            f"{data.name} has {len(data.classes)} classes, the network of {checkpoint.name} tells {count} apart; "
            f"train one for it: semanticnn train-base --dataset {data.name}"
        )
    check_truth(checkpoint.model, data)
    if known and list(known) != list(data.classes):
        one, other = next((a, b) for a, b in zip(known, data.classes, strict=True) if a != b)
        warnings.warn(
            f"the classes of {data.name} are not those of {checkpoint.name}: {other!r} stands where it learned {one!r}",
            stacklevel=2,
        )
    return data


def check_truth(model: SplitModel, data: ImageDataset) -> None:
    """Refuse data that does not hold the truth a network's task needs."""
    if not model.task.fits(data.train.columns):
        raise DataError(
            f"{model.description.get('model', 'this network')} is trained on {model.task.truth}, {data.name} has none; "
            f"give other data, or another network: detectors are {', '.join(DETECTORS)}, classifiers "
            f"{', '.join(CLASSIFIERS)}"
        )


def save_checkpoint(
    folder: str | Path,
    model: SplitModel,
    systems: Mapping[str, nn.Module] | SemanticCodec | None,
    about: dict[str, Any],
    kept: Collection[str] = (),
) -> None:
    """Write base.safetensors, SYSTEM.safetensors for each system, and config.json.

    Weights are stored in half precision but for what runs on the device, whose bytes depend on every digit. Where
    `about` names a file of weights, what that file holds is left out.

    systems: by name, or one codec, which is then called `semanticnn`. Systems that lie in the folder from before and
    are not named go, as they were made for another task network. kept: names of those whose files stay as they are.
    A network that cannot be rebuilt and a codec that no device could run are refused before anything is written.
    """
    if not model.description:
        raise CheckpointError("only networks built by SplitModel.of can be published; save your own with torch.save")
    systems = {SEMANTICNN: systems} if isinstance(systems, SemanticCodec) else dict(systems or {})
    folder, described = Path(folder), about.get("systems", {})
    new = {name: codec for name, codec in systems.items() if name not in kept}
    for codec in new.values():
        check_exportable(codec)
    _save(folder / "base.safetensors", model, only=about.get("weights", {}).get("own"))
    for name, codec in new.items():
        with torch.no_grad():
            codec.quantizer.centers.copy_(codec.quantizer.levels)  # stored in ascending order
        _save(folder / f"{name}.safetensors", codec, halved="decoder.")
    for old in folder.glob("*.safetensors"):
        if old.stem not in ("base", *systems):
            old.unlink()
    kinds = {
        name: {**described.get(name, {}), "kind": SEMANTICNN, "settings": codec.config.to_dict()}
        for name, codec in systems.items()
    }
    content = json.dumps({**about, "base": model.description, "systems": kinds}, indent=2, ensure_ascii=False)
    write_text(folder / "config.json", content + "\n")


def kept_systems(
    folder: Path, model: SplitModel, root: str | Path = "data"
) -> tuple[dict[str, nn.Module], dict[str, dict]]:
    """Return the systems that a folder holds for this very network, and what is known of them."""
    try:
        there = load_checkpoint(str(folder.resolve()), root)
    except CheckpointError:
        return {}, {}
    weights = there.model.state_dict()
    same = there.model.description == model.description and all(
        torch.equal(weights[name], value.half().float() if value.is_floating_point() else value)
        for name, value in model.state_dict().items()
    )
    return (there.systems, there.about.get("systems", {})) if same else ({}, {})


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


def _save(path: Path, module: nn.Module, halved: str = "", only: Collection[str] | None = None) -> None:
    """Write a module's state, or those of its tensors; names that begin with `halved` in half precision."""
    tensors = {
        name: (value.half() if value.is_floating_point() and name.startswith(halved) else value).cpu().contiguous()
        for name, value in module.state_dict().items()
        if only is None or name in only
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary)


def _load(module: nn.Module, path: Path, only: Collection[str] | None = None) -> None:
    """Read a module's state, or those of its tensors; a file that holds anything else is refused."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is missing or damaged: {error}; restore or retrain it") from error
    wanted = {name: value for name, value in module.state_dict().items() if only is None or name in only}
    for name in {**wanted, **tensors}:
        here, there = (tuple(each[name].shape) if name in each else "nothing" for each in (wanted, tensors))
        if here != there:
            raise CheckpointError(
                f"{path} is of another architecture than config.json says: {name} has shape {there}, expected {here}; "
                "restore or retrain it"
            )
    module.load_state_dict(tensors, strict=only is None)
    wrong = [name for name, value in module.state_dict().items() if not value.isfinite().all()]
    if wrong:
        raise CheckpointError(f"{path} holds numbers that are not finite, for instance in {wrong[0]}; retrain it")
