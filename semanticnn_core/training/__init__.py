"""Training: the task network, and the codec in two stages."""

from semanticnn_core.training.stages import finetune_semantic, new_codec, pretrain_denoising

__all__ = ["finetune_semantic", "new_codec", "pretrain_denoising"]
