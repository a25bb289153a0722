"""`semanticnn report`: one page about a checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from semanticnn_core.commands.doctor import Doctor
from semanticnn_core.commands.shared import this_command
from semanticnn_core.config import DEFAULT_CHECKPOINT
from semanticnn_core.settings import Settings, setting

PAGE = "report.html"


@dataclass(frozen=True)
class Report(Settings):
    """Write one page about a checkpoint: what it can do, over which links, at what cost, and how it was made."""

    checkpoint: tyro.conf.Positional[str] = DEFAULT_CHECKPOINT
    """Checkpoint folder or name."""
    system: str | None = None
    """Whose examples, classes and maps are shown; the usual one when left out. Scores are shown of all."""
    out: Path | None = None
    """Folder for report.html; runs/reports/CHECKPOINT when left out."""
    images: int = setting(500, 1)
    """How many test images are looked at."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    def __call__(self) -> None:
        from semanticnn_core.datasets import DataError, load_dataset
        from semanticnn_core.files import claim, write_text
        from semanticnn_core.runner.checkpoint_report import Subject, report_page
        from semanticnn_core.runner.pages import is_ours
        from semanticnn_core.systems.checkpoints import find_checkpoint, load_checkpoint, matching

        folder = find_checkpoint(self.checkpoint, self.data_root)
        out = claim(self.out or Path("runs/reports") / folder.name, is_ours, "semanticnn report", (PAGE,))
        checkpoint = load_checkpoint(str(folder.resolve()), self.data_root)
        if self.system or checkpoint.systems:
            codec = checkpoint.system(self.system) if self.system else checkpoint.codec
            system = next(name for name, each in checkpoint.systems.items() if each is codec)
        else:
            system = None
        data, missing = None, ""
        try:
            name = checkpoint.about.get("dataset", "")
            data = matching(load_dataset(name, self.data_root, checkpoint.model.image_size, download=False), checkpoint)
        except DataError as error:
            missing = " ".join(str(error).split())
        findings = Doctor(str(folder), data_root=self.data_root).findings(folder)
        text = report_page(
            Subject(self.checkpoint, folder, checkpoint, system, data, missing, findings, self.images, this_command())
        )
        write_text(out / PAGE, text)
        print(out / PAGE)
