"""`semanticnn doctor`: what is wrong with a checkpoint."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from semanticnn_core.config import DEFAULT_CHECKPOINT
from semanticnn_core.settings import Settings, setting

if TYPE_CHECKING:
    from semanticnn_core.codec import SemanticCodec
    from semanticnn_core.datasets import ImageDataset
    from semanticnn_core.evaluation.doctor import Finding
    from semanticnn_core.tasks import SplitModel


@dataclass(frozen=True)
class Doctor(Settings):
    """Say what is wrong with a checkpoint: weights, use of its bits, answers, export; exit status 1 for an error."""

    checkpoint: tyro.conf.Positional[str] = DEFAULT_CHECKPOINT
    """Checkpoint folder or name."""
    dataset: str | None = None
    """Data set whose validation images are looked at; the one it was trained on when left out."""
    images: int = setting(300, 1)
    """How many of them."""
    json: bool = False
    """Print one JSON object and nothing else."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    def __call__(self) -> None:
        from semanticnn_core.systems.checkpoints import find_checkpoint

        folder = find_checkpoint(self.checkpoint, self.data_root)
        findings = self.findings(folder)
        if self.json:
            print(json.dumps({"checkpoint": folder.name, "findings": [asdict(each) for each in findings]}))
        else:
            print(*findings, sep="\n")
        if any(each.level == "error" for each in findings):
            sys.exit(1)

    def findings(self, folder: Path) -> "list[Finding]":
        """Return what is found in a checkpoint's folder, and on images of its data set where these are there."""
        from semanticnn_core.codec import SemanticCodec
        from semanticnn_core.datasets import DataError, load_dataset
        from semanticnn_core.evaluation.doctor import Finding, examine
        from semanticnn_core.systems import load_checkpoint
        from semanticnn_core.systems.checkpoints import CheckpointError, matching

        try:
            checkpoint = load_checkpoint(str(folder.resolve()), self.data_root)
        except CheckpointError as error:
            return [Finding("files", "error", " ".join(str(error).split()))]
        findings = [Finding("files", "ok", f"{', '.join(['base', *checkpoint.systems])} can be loaded")]
        name, size = self.dataset or checkpoint.about.get("dataset", ""), checkpoint.model.image_size
        try:
            data = matching(load_dataset(name, self.data_root, size, download=False), checkpoint)
        except DataError as error:
            findings.append(Finding("data", "warning", f"only the weights are looked at: {error}"))
            data = None
        findings += examine(checkpoint, data, self.images)
        for system, codec in checkpoint.systems.items():
            if isinstance(codec, SemanticCodec):
                findings.append(export_finding(system, checkpoint.model, codec, data))
        return findings


def export_finding(name: str, model: "SplitModel", codec: "SemanticCodec", data: "ImageDataset | None") -> "Finding":
    """Say whether a codec can become firmware, and what it will take of a board."""
    from semanticnn_core.evaluation.doctor import Finding
    from semanticnn_core.stm32.project import expected_costs, memory_map
    from semanticnn_core.stm32.quantize import CALIBRATION_IMAGES, quantize_encoder
    from semanticnn_core.stm32.tables import Firmware

    try:
        costs = expected_costs(model, codec.config)
        if data is not None:
            calibration = data.train.first(CALIBRATION_IMAGES)["image"]
            firmware = Firmware(quantize_encoder(model, codec, calibration), codec, model.feature_shape)
            costs |= {f"{part}_bytes": sum(counts.values()) for part, counts in memory_map(firmware).items()}
    except ValueError as error:
        return Finding(f"{name}, export", "warning", str(error))
    text = "{payload_bytes:,} B an image, {ram_bytes:,} B of RAM, {flash_bytes:,} B of flash for tables".format(**costs)
    return Finding(f"{name}, export", "ok", text, values=costs)
