"""Training: the task network, and the codec in two stages."""

from semanticnn_core.training.checkpoints import checkpoint_for, load_checkpoint, matching
from semanticnn_core.training.stages import finetune_semantic, new_codec, pretrain_denoising

__all__ = ["checkpoint_for", "finetune_semantic", "load_checkpoint", "matching", "new_codec", "pretrain_denoising"]
