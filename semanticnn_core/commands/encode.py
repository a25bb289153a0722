"""`semanticnn encode`: images as the bytes that a board would send."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from semanticnn_core.commands.shared import calibration_of
from semanticnn_core.config import DEFAULT_CHECKPOINT, Slice, Window
from semanticnn_core.settings import Settings, setting

if TYPE_CHECKING:
    from semanticnn_core.systems import SemanticNN
    from semanticnn_core.systems.checkpoints import Checkpoint


@dataclass(frozen=True, kw_only=True)
class SentBySystem(Settings):
    """What device and edge agree on, as the bytes do not say it."""

    checkpoint: str = DEFAULT_CHECKPOINT
    """Checkpoint folder or name."""
    system: str = "semanticnn"
    """Which of the checkpoint's systems."""
    slice_ratio: float = setting(1.0, 1e-9, 1)
    """Share of the code that is sent, in (0, 1]."""
    window: Window = "center"
    """Where that part lies: in the middle, or where the device's table of importance (or energy) says."""
    progressive: bool = False
    """Whether pixels leave from the middle of the window outwards."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    @property
    def slice(self) -> Slice:
        """Which part of the code is sent."""
        return Slice(self.slice_ratio, self.window, self.progressive)


@dataclass(frozen=True, kw_only=True)
class Encode(SentBySystem):
    """Turn image files into the bytes that a board would send, one payload after another."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGE …")]
    """Image files, of any format that Pillow reads."""
    out: Path
    """File to write."""
    dataset: str | None = None
    """Data set that calibrates the integer encoder; what the checkpoint keeps of its training when left out."""
    float: bool = False
    """Encode in floating point, not in the integers of the firmware."""
    force: bool = False
    """Replace a file that is there."""

    def check_together(self) -> None:
        if not self.images:
            raise ValueError("nothing to encode: name at least one image file")

    def __call__(self) -> None:
        import torch

        from semanticnn_core.datasets.image_files import decode_image
        from semanticnn_core.files import claim, replacing
        from semanticnn_core.systems import SemanticNN, load_checkpoint

        claim(self.out.parent, lambda path: True, "semanticnn encode", ())
        if self.out.is_dir() or (self.out.exists() and not self.force):
            raise ValueError(f"{self.out} is there already; replace it with --force, or name another file")
        checkpoint = load_checkpoint(self.checkpoint, self.data_root)
        model = checkpoint.model
        images = torch.stack([decode_image(path, model.image_size) for path in self.images])
        system = SemanticNN(model, checkpoint.system(self.system), self.slice)
        if not self.float:
            system = in_integers(system, checkpoint, self.system, self.dataset, self.data_root)
        payload = torch.cat([system.send(part).data.cpu() for part in images.to(model.device).split(250)])
        with replacing(self.out) as temporary:
            temporary.write_bytes(payload.numpy().tobytes())
        count, size = payload.shape
        print(f"{self.out}: {payload.numel()} bytes, {size} for each of {count} image{'' if count == 1 else 's'}")


def in_integers(
    system: "SemanticNN",
    checkpoint: "Checkpoint",
    name: str,
    dataset: str | None,
    root: Path,
    compiled: bool = False,
) -> "SemanticNN":
    """Return a checkpoint's system as the firmware computes it, or, where that cannot be had, say so and return it.

    compiled: by the C itself, compiled for this machine.
    """
    from semanticnn_core.datasets import DataError
    from semanticnn_core.stm32.quantize import ExportError, quantize_encoder
    from semanticnn_core.stm32.system import IntegerSemanticNN
    from semanticnn_core.stm32.tables import Firmware

    model = system.model
    try:
        encoder = quantize_encoder(model, system.codec, calibration_of(checkpoint, name, dataset, root))
        firmware = Firmware(encoder, system.codec, model.feature_shape, system.slice)
        return IntegerSemanticNN.compiled(model, firmware) if compiled else IntegerSemanticNN.of(model, firmware)
    except (DataError, ExportError) as error:
        print(f"encoded in floating point, not as the firmware does: {error}", file=sys.stderr)
        return system
