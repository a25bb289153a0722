"""Fixtures of the small shared material in tiny.py."""

import os

os.environ["ACCELERATE_USE_CPU"] = "true"  # the same numbers on every machine; set before anything trains

import pytest
import torch
from tiny import make_codec_config, make_dataset, make_split

from semanticnn_core.codec import SemanticCodec
from semanticnn_core.config import CodecConfig
from semanticnn_core.datasets import ImageDataset
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.training import new_codec


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Start every test from the same random numbers."""
    torch.manual_seed(0)


@pytest.fixture
def dataset() -> ImageDataset:
    return make_dataset()


@pytest.fixture
def split() -> SplitModel:
    return make_split()


@pytest.fixture
def codec_config() -> CodecConfig:
    return make_codec_config()


@pytest.fixture
def codec(codec_config: CodecConfig, split: SplitModel, dataset: ImageDataset) -> SemanticCodec:
    """An untrained codec, calibrated on the tiny data set's features, in evaluation mode."""
    return new_codec(split, dataset, codec_config).eval()
