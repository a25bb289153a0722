"""What several commands ask of a checkpoint."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semanticnn_core.codec import SemanticCodec
    from semanticnn_core.datasets import ImageDataset
    from semanticnn_core.training.checkpoints import Checkpoint


def codec_of(checkpoint: "Checkpoint") -> "SemanticCodec":
    """Return a checkpoint's codec; refuse one that has none."""
    if checkpoint.codec is None:
        name = checkpoint.name
        raise ValueError(f"checkpoint {name} has no codec; make one: semanticnn train --checkpoint {name}")
    return checkpoint.codec


def matching(data: "ImageDataset", checkpoint: "Checkpoint") -> "ImageDataset":
    """Return a data set whose classes are as many as the checkpoint's network names; refuse another."""
    (classes,) = checkpoint.model.output_shape
    if len(data.classes) != classes:
        raise ValueError(
            f"{data.name} has {len(data.classes)} classes, the network of {checkpoint.name} tells {classes} apart; "
            f"train one for it: semanticnn train-base --dataset {data.name}"
        )
    return data
