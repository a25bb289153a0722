"""`semanticnn train`: a codec for a task network, trained, measured and published."""

import shutil
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from semanticnn_core.commands.shared import checkpoint_folder, state_folder, surveyed, this_command
from semanticnn_core.config import (
    BER_GRID,
    DEFAULT_CHECKPOINT,
    SENSITIVITY,
    STAGE2_RATE,
    WHOLE,
    CodecConfig,
    CodecTrainConfig,
    Slice,
    Stage,
)
from semanticnn_core.settings import POSITIVE, Settings, setting

if TYPE_CHECKING:
    import pandas as pd

    from semanticnn_core.codec import SemanticCodec
    from semanticnn_core.datasets import ImageDataset
    from semanticnn_core.systems.checkpoints import Checkpoint

MEASURED_BERS = (*BER_GRID, 0.1)
"""Bit error rates of a published table: the grid, and twice its worst rate."""
RECIPES = {"fast": (1, 3), "standard": (2, 10), "long": (4, 30)}
"""Epochs of stage 1 and of stage 2."""
SEEDS = 6
"""Channel seeds of a published table for the whole code; three for slices."""


@dataclass(frozen=True)
class Train(Settings):
    """Train a codec for a task network: stage 1 (denoising), then stage 2 (semantic)."""

    checkpoint: str = DEFAULT_CHECKPOINT
    """Checkpoint folder or name whose task network the codec is for."""
    system: str = "semanticnn"
    """What the codec is called in the checkpoint; others in the same folder stay beside it."""
    dataset: str | None = None
    """Data set to train on; the one the task network was trained on when left out."""
    codec: CodecConfig = field(default_factory=CodecConfig)
    """What the codec is."""
    recipe: Literal["fast", "standard", "long"] = "standard"
    """How long to train where the stages do not say it: on SceneDigits and one core 12, 40 or 110 minutes."""
    stage1: Stage = field(default_factory=lambda: Stage(sensitivity=SENSITIVITY))
    """Settings of stage 1, the denoising autoencoder."""
    stage2: Stage = field(default_factory=lambda: Stage(learning_rate=STAGE2_RATE))
    """Settings of stage 2, task-oriented."""
    slices: tuple[float, ...] = setting((0.8, 0.5, 0.3), POSITIVE, 1)
    """Slice ratios that are measured for the published table beside the whole code; nothing: that alone."""
    finetune: bool = False
    """Start from the checkpoint's own codec and run stage 2 alone; the codec options are then the checkpoint's."""
    encoder: str | None = None
    """Start from the encoder and centres of another checkpoint's codec; stage 1 then trains the decoder alone. Of the
    codec options, those of the decoder and of parity count."""
    start: str | None = None
    """Start from the whole codec of another checkpoint and run stage 2 alone; the codec options are then that codec's.
    For few images: what its decoder has learned of features would be forgotten by a stage 1."""
    out: Path | None = None
    """Checkpoint folder to write; runs/checkpoints/CHECKPOINT when left out."""
    resume: bool = False
    """Go on from the last finished epoch of the same training."""
    tracker: str | None = None
    """Where learning curves go too, for instance tensorboard (installed apart)."""
    limit: int | None = setting(None, 1)
    """Use only that many images of each split, for a quick trial."""
    data_root: Path = Path("data")
    """Where data sets and checkpoints lie."""

    def check_together(self) -> None:
        if self.system in ("", "base") or not self.system.replace("-", "_").isidentifier():
            raise ValueError(f"system must be a word other than 'base', got {self.system!r}")
        starts = [name for name in ("finetune", "encoder", "start") if getattr(self, name)]
        if len(starts) > 1:
            raise ValueError(f"{' and '.join(starts[:2])} exclude each other: a training starts from one codec")
        if self.stage1.epochs == 0 or (self.stage2.epochs == 0 and self.second_stage_alone):
            raise ValueError("stage1 cannot have 0 epochs, nor stage2 where it is all there is; leave epochs out")
        for name in ("crop", "sensitivity"):
            if getattr(self.stage2, name):
                raise ValueError(
                    f"{name} is for stage 1: in stage 2 the task itself looks at whole images; leave stage2.{name} out"
                )
        if 1 in self.slices:
            raise ValueError("slices must lie between 0 and 1, got 1; the whole code is measured in any case")

    def __call__(self) -> None:
        from semanticnn_core.systems import open_checkpoint
        from semanticnn_core.training.loop import is_main_process

        base, data = open_checkpoint(self.checkpoint, self.dataset or "", self.data_root)
        data = data.take(self.limit)
        out = checkpoint_folder(self.out or Path("runs/checkpoints") / base.name, "train", self.system)
        source = self._source(base)
        config = self._config(base, source)
        facts = {"data": surveyed(data)}
        if is_main_process():
            print(self._costs(base, config), file=sys.stderr, flush=True)
        codec = self._trained(base, source and source.system(self._begun(source)), config, data, out, facts)
        if is_main_process():
            self._publish(base, source, data, codec, out)

    def _source(self, base: "Checkpoint") -> "Checkpoint | None":
        """Return the checkpoint whose codec is where the training starts."""
        from semanticnn_core.systems.checkpoints import load_checkpoint

        other = self.encoder or self.start
        return load_checkpoint(other, self.data_root) if other else base if self.finetune else None

    def _begun(self, source: "Checkpoint") -> str:
        """Return which of a checkpoint's codecs the training starts from: the one of this name, or the usual one."""
        from semanticnn_core.systems.checkpoints import SEMANTICNN

        return self.system if self.system in source.systems else SEMANTICNN

    def _config(self, base: "Checkpoint", source: "Checkpoint | None") -> CodecConfig:
        """Return the settings of the codec, fitted to the network's feature."""
        model = base.model
        own = source.system(self._begun(source)).config if source else self.codec
        if self.encoder:
            new = {name: getattr(self.codec, name) for name in ("decoder", "decoder_widths", "dequantizer", "parity")}
            own = replace(own, **new)
        if source and own.feature_channels != model.feature_shape[0]:
            raise ValueError(
                f"the encoder of {source.name} is for features of {own.feature_channels} channels, "
                f"{self.checkpoint} has {model.feature_shape[0]}; name a codec of the same kind of network"
            )
        return replace(own, feature_channels=model.feature_shape[0], feature_range=model.feature_range)

    @property
    def second_stage_alone(self) -> bool:
        """Whether the training starts from a codec that is whole."""
        return self.finetune or self.start is not None

    @property
    def stages(self) -> list[CodecTrainConfig]:
        """The settings of both stages, with the recipe's epochs where nothing else is said."""
        stages = zip((self.stage1, self.stage2), RECIPES[self.recipe], strict=True)
        return [replace(stage, epochs=epochs if stage.epochs is None else stage.epochs) for stage, epochs in stages]

    def _costs(self, base: "Checkpoint", config: CodecConfig) -> str:
        """Say what a device will need, or why none can run this codec."""
        from semanticnn_core.stm32.project import expected_costs
        from semanticnn_core.stm32.quantize import ExportError

        try:
            costs = expected_costs(base.model, config)
        except ExportError as error:
            return f"no firmware can be made of this codec: {error}"
        return "on a device: {payload_bytes:,} bytes an image, {ram_bytes:,} of RAM, {flash_bytes:,} of tables".format(
            **costs
        )

    def _trained(
        self,
        base: "Checkpoint",
        start: "SemanticCodec | None",
        config: CodecConfig,
        data: "ImageDataset",
        out: Path,
        facts: dict[str, str],
    ) -> "SemanticCodec":
        from semanticnn_core.training import finetune_semantic, new_codec, pretrain_denoising
        from semanticnn_core.training.loop import Run
        from semanticnn_core.training.sensitivity import sensitivity

        (first, second), model = self.stages, base.model
        run = Run(resume=self.resume, facts=facts, tracker=self.tracker)
        if self.second_stage_alone:
            codec = start.train().requires_grad_()
        else:
            metric = sensitivity(model.folded(), data.train, config.stride, first.sensitivity, first.seed)
            codec = new_codec(model, data, config, first.seed, metric)
            device_side = (codec.encoder, codec.quantizer)
            for part, trained in zip(device_side, (start.encoder, start.quantizer) if start else (), strict=False):
                part.load_state_dict(trained.state_dict())
                part.requires_grad_(False)
            if not self.resume:  # or stage 2 could go on from the one of an earlier training
                shutil.rmtree(state_folder(out, f"{self.system}-stage2"), ignore_errors=True)
            stage1 = replace(run, folder=state_folder(out, f"{self.system}-stage1"))
            pretrain_denoising(codec, model.device_part, data, first, stage1, metric)
            codec.requires_grad_()
        if second.epochs:
            name = f"{self.system}-{'finetune' if self.second_stage_alone else 'stage2'}"
            finetune_semantic(codec, model, data, second, replace(run, folder=state_folder(out, name)))
        return codec

    def _publish(
        self, base: "Checkpoint", source: "Checkpoint | None", data: "ImageDataset", codec: "SemanticCodec", out: Path
    ) -> None:
        from semanticnn_core.evaluation import byte_counts
        from semanticnn_core.evaluation.doctor import examine
        from semanticnn_core.evaluation.publish import write_readme, write_results
        from semanticnn_core.explain.importance import fit_importance
        from semanticnn_core.stm32.quantize import CALIBRATION_IMAGES, measure_ranges
        from semanticnn_core.systems.checkpoints import (
            check_exportable,
            kept_systems,
            load_checkpoint,
            save_checkpoint,
        )

        check_exportable(codec.half_rounded())
        fit_importance(codec, base.model, data.train)
        table = self._measured(base, data, codec)
        known = source.about.get("systems", {}).get(self._begun(source), {}) if source else {}
        ranges = measure_ranges(base.model, codec, data.train.first(CALIBRATION_IMAGES)["image"])
        training, (first, second) = dict(known.get("training", {})), self.stages
        if self.second_stage_alone:
            training["finetune"] = [*training.get("finetune", []), second.to_dict()]
        else:
            training = {"stage1": first.to_dict(), "stage2": second.to_dict()}
        own = {
            "training": training,
            "ranges": asdict(ranges),
            "results": byte_counts(base.model, codec),
            "commands": [*known.get("commands", []), this_command()],
        }
        kept, described = kept_systems(out, base.model, self.data_root)
        about = base.about | {
            "dataset": self.dataset or base.about["dataset"],
            "classes": list(data.classes),
            "results": base.about.get("results", {}) | {f"clean_{base.model.task.metric}": base.model.score(data.test)},
            "systems": described | {self.system: own},
        }
        save_checkpoint(out, base.model, kept | {self.system: codec}, about, set(kept) - {self.system})
        write_results(out, table, keep=set(kept) - {self.system})
        write_readme(out)
        print((out / "README.md").read_text(encoding="utf-8"))
        for finding in examine(load_checkpoint(str(out.resolve()), self.data_root), data):
            if finding.level != "ok":
                print(finding, file=sys.stderr)

    def _measured(self, base: "Checkpoint", data: "ImageDataset", codec: "SemanticCodec") -> "pd.DataFrame":
        import pandas as pd

        from semanticnn_core.channels import BitErrors
        from semanticnn_core.evaluation import sweep
        from semanticnn_core.systems import SemanticNN

        slices = [Slice(ratio, window) for window in ("center", "importance") for ratio in self.slices]
        model, links = base.model.folded(), [BitErrors(ber) for ber in MEASURED_BERS]
        whole, *parts = (SemanticNN(model, codec, each, self.system) for each in (WHOLE, *slices))
        tables = [sweep([whole], data.test, links, SEEDS), *(sweep([each], data.test, links) for each in parts)]
        return pd.concat(tables, ignore_index=True)
