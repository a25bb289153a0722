"""Notebook 04's comparisons, each image or training with itself: weights of L_XAI, features, maps, windows."""

from collections.abc import Sequence

import pandas as pd
from torch import Tensor
from torch.nn import functional as F

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.codec import SemanticCodec
from semanticnn_core.codec.slicing import share_sent
from semanticnn_core.systems import SemanticNN
from semanticnn_core.tasks.split import SplitModel
from semanticnn_core.viz.results import difference_table, paired_differences
from semanticnn_core.viz.windows import WINDOWS


def gamma_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return `difference_table` of each weight γ of L_XAI against training without it, the whole code sent."""
    whole = table[table["slice_ratio"] == 1]
    whole = whole.assign(scheme=whole["gamma"].map("γ = {:g}".format))
    size, names = whole["bytes"].iloc[0], [name for name in whole["scheme"].unique() if name != "γ = 0"]
    pairs = {name: paired_differences(whole, (name, size), ("γ = 0", size)) for name in names}
    return pd.concat({name: difference_table(each) for name, each in pairs.items()}, names=["weight"])


def common_images(table: pd.DataFrame, by: str = "feature") -> pd.DataFrame:
    """Keep rows of `measure_explanations` whose image counts at every value of column `by`: the same images for all."""
    values = table.groupby(["guide", "level", "method", "metric", "image"])[by].transform("nunique")
    return table[values == table[by].nunique()]


def map_likeness(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Return how maps (B, h, w) correlate with their partners, and with another image's: the mean over the images.

    The second number is what maps have in common that knew nothing of the image.
    """
    first, second = (F.normalize(maps.flatten(1) - maps.flatten(1).mean(1, keepdim=True)) for maps in (first, second))
    return tuple(float((first * second.roll(shift, 0)).sum(1).mean()) for shift in (0, 1))


def compare_windows(
    model: SplitModel,
    codec: SemanticCodec,
    images: Tensor,
    labels: Tensor,
    slice_ratios: Sequence[float],
    ber: float = 0.01,
    seed: int = 0,
) -> pd.DataFrame:
    """Send images (N, 3, H, W) through every window; one row a window and ratio, for `draw_windows`.

    Columns window, slice_ratio, share_sent, accuracy, and the gain over the central window: its mean and standard
    error over the images, each compared with itself.
    """
    rows, size = [], codec.code_shape(model.feature_shape)[1:]
    for ratio in slice_ratios:
        center = None
        for window in WINDOWS:
            if center is None or ratio < 1:  # the whole code is the same for all
                system = SemanticNN(model, codec, ratio, window=window)
                right = (system.infer(images, BinarySymmetric(ber, seed)).outputs.argmax(1) == labels).double()
            center = right if center is None else center
            gain = right - center
            error = float(gain.std()) / len(gain) ** 0.5
            rows.append((window, ratio, share_sent(*size, ratio), float(right.mean()), float(gain.mean()), error))
    return pd.DataFrame(rows, columns=["window", "slice_ratio", "share_sent", "accuracy", "gain", "standard_error"])
