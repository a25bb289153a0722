"""State dicts of torchvision's networks, `.safetensors` or `.pth` files, read into a split network."""

import hashlib
import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from semanticnn_core.config import WeightsInput
from semanticnn_core.files import CHECKOUT, expanded, located
from semanticnn_core.tasks.split import CLASSIFIERS, PIXEL_STD, SplitModel, evaluating, torchvision_parts

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")


@dataclass(frozen=True)
class Report:
    """What a file gave to a network; names of tensors as torchvision has them, but for `into`."""

    into: frozenset[str]
    """What was read, by its names in the split network."""
    read: tuple[str, ...]
    missing: tuple[str, ...]
    other_shape: tuple[str, ...]
    """`NAME (shape in the file, shape in the network)`."""
    unknown: tuple[str, ...]
    """Those of the file that the network does not have."""

    def describe(self) -> str:
        """Return the report in a few lines."""
        lines = [f"{len(self.read)} of {len(self.read) + len(self.missing) + len(self.other_shape)} tensors read"]
        for words, names in (
            ("not in the file, they start anew", self.missing),
            ("of another shape, they start anew", self.other_shape),
            ("not of this network, passed over", self.unknown),
        ):
            if names:
                lines.append(f"  {len(names)} {words}: {', '.join(names[:3])}{', …' if len(names) > 3 else ''}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Weights:
    """The file that holds what a checkpoint does not: weights that are not ours to publish, or are kept once.

    file: its name; it is looked for in `data/weights`. hash: BLAKE2b of its content, 16 bytes in hex. input: what
    images its network was trained on. source: where others get it, in words. own: tensors that the checkpoint holds.
    """

    file: str
    hash: str
    input: WeightsInput = "normalized"
    source: str = ""
    own: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: str | Path, input: WeightsInput = "normalized", source: str = "") -> "Weights":
        """Return the reference to a file."""
        return cls(Path(path).name, _hash(expanded(path)), input, source)

    def holding(self, names: Collection[str]) -> "Weights":
        """Return the reference of a checkpoint that holds these tensors too."""
        return replace(self, own=tuple(sorted({*self.own, *names})))

    def find(self, root: str | Path = "data") -> Path:
        """Return where the file lies: in `root`/weights or the checkout's; a ValueError says what to put where."""
        places = dict.fromkeys((located(root) / "weights", CHECKOUT / "data" / "weights"))
        there = [each / self.file for each in places if (each / self.file).is_file()]
        if found := next((each for each in there if _hash(each) == self.hash), None):
            return found
        which = f"{there[0]} is another file of that name" if there else "it is not there"
        raise ValueError(
            f"the network needs the file {self.file} (BLAKE2b {self.hash}) in {next(iter(places))}, {which}"
            + (f"; {self.source}" if self.source else "; put it there")
        )


@torch.no_grad()
def read_state_dict(model: SplitModel, path: str | Path, input: WeightsInput = "normalized") -> Report:
    """Read a state dict into a classifier, in place; it may hold less, more, or another head.

    input: what images the file's network was trained on.
    Raises ValueError, before anything is changed, for other networks than torchvision's, a file that is damaged or
    holds no tensors of the network, and numbers that are not finite. Nothing that the file may contain is executed.
    """
    names = original_names(model)
    given, wanted = _tensors(Path(path).expanduser()), model.state_dict()
    found = {name: given[names[name]] for name in wanted if name in names and names[name] in given}
    fitting = {name: value for name, value in found.items() if value.shape == wanted[name].shape}
    if not any(value.dim() > 1 for value in fitting.values()):
        raise ValueError(
            f"{path} holds no weights of {model.description['model']}: its names are {', '.join(list(given)[:3])}, …, "
            f"the network's {', '.join(list(names.values())[:3])}, …"
        )
    for name, value in fitting.items():
        if not value.isfinite().all():
            raise ValueError(f"{path} holds numbers that are not finite, in {names[name]}; fetch it anew")
    first = next(name for name, value in wanted.items() if value.dim() == 4)
    if input == "pixels" and first in fitting:
        fitting[first] = fitting[first].float() * torch.tensor(PIXEL_STD)[:, None, None]
    model.load_state_dict(fitting, strict=False)
    floats = [name for name in names if wanted[name].is_floating_point()]
    return Report(
        into=frozenset(fitting),
        read=tuple(names[name] for name in floats if name in fitting),
        missing=tuple(names[name] for name in floats if name not in found),
        other_shape=tuple(
            f"{names[name]} {tuple(found[name].shape)}, here {tuple(wanted[name].shape)}"
            for name in floats
            if name in found and name not in fitting
        ),
        unknown=tuple(name for name in given if name not in set(names.values())),
    )


def original_names(model: SplitModel) -> dict[str, str]:
    """Return the name that torchvision has for each tensor of a classifier, by its name in the split network."""
    about = model.description
    if about.get("model") not in CLASSIFIERS:
        raise ValueError(
            f"state dicts are read into {' and '.join(CLASSIFIERS)}, not into {about.get('model', 'this network')}"
        )
    with torch.device("meta"):
        net, device_part, edge_part = torchvision_parts(about["model"], about["classes"], about["cut"])
    known = {id(value): name for name, value in net.state_dict(keep_vars=True).items()}
    parts = {"device_part": nn.Sequential(nn.Identity(), *device_part), "edge_part": edge_part}
    tensors = nn.ModuleDict(parts).state_dict(keep_vars=True)
    return {name: known[id(value)] for name, value in tensors.items()}


@torch.no_grad()
def unfold_norms(model: SplitModel, images: Tensor, names: Collection[str]) -> int:
    """Give batch norms that were folded into the convolutions, so that they do nothing, the statistics of images.

    What the network computes stays as it is; in training such norms would change all of it at once.
    images: uint8 (B, 3, H, W). names: tensors that were read; norms among them whose statistics are exactly 0 and 1 are
    the folded ones. Returns how many there were.
    """

    def unfold(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].transpose(0, 1).flatten(1)
        mean, variance = values.mean(1), values.var(1).clamp_min(1e-6)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias += scale * (mean - norm.running_mean)
        norm.weight.copy_(scale * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    folded = [
        each for name, each in model.named_modules()
        if f"{name}.running_var" in names and (each.running_var == 1).all() and (each.running_mean == 0).all()
    ]  # fmt: skip
    hooks = [norm.register_forward_pre_hook(unfold) for norm in folded]
    with evaluating(model):
        model(images.to(model.device))
    for hook in hooks:
        hook.remove()
    return len(folded)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _tensors(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a file by name, unwrapped from what trainings put around them."""
    try:
        content = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().split(". ")[0].splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path} cannot be read as a state dict of tensors: {reason}; a whole pickled network must first be saved "
            "as one: torch.save(net.state_dict(), …)"
        ) from error
    while isinstance(content, Mapping) and (inner := next((each for each in _WRAPPERS if each in content), None)):
        content = content[inner]
    if not isinstance(content, Mapping) or not all(isinstance(each, Tensor) for each in content.values()):
        raise ValueError(f"{path} holds no state dict, that is names and tensors; save one: net.state_dict()")
    return {str(name).removeprefix("module."): value for name, value in content.items()}
