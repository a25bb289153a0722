"""The README's pictures: scenes on their way through ever worse channels, and what was measured on CIFAR-100.

`python -m semanticnn_core.runner.overview` writes overview.png, from the default checkpoint, and cifar100.png, from the
published table, into notebooks/pictures.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.datasets import load_dataset
from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.files import replacing
from semanticnn_core.systems.checkpoints import Checkpoint, load_checkpoint
from semanticnn_core.viz.measured import draw_measured, load_measured, load_reported
from semanticnn_core.viz.probes import byte_bits
from semanticnn_core.viz.style import COLORS, SEQUENTIAL, panes, percent, plain, use_style

BERS = (0.001, 0.01, 0.05, 0.1)
BITS = ListedColormap(["#F2F2F2", "#9AA5B1", COLORS["red"]])
"""Colours of a bit that is 0, of one that is 1, and of one that flipped."""


@torch.no_grad()
def overview(checkpoint: Checkpoint, dataset: ImageDataset, scenes: tuple[int, ...], bers: tuple[float, ...]) -> Figure:
    """Draw one row a scene: image, feature sent, then payload bits, feature received and answer at each error rate."""
    model, codec = checkpoint.model, checkpoint.codec
    images = dataset.test.images[torch.tensor(scenes)]
    feature = model.device(images)
    payload = codec.compress(feature)
    columns = 2 + 2 * len(bers)
    widths = [1, 1] + [0.75, 1] * len(bers)
    figure, axes = panes(len(scenes), columns, (13.5, 1.27 * len(scenes) + 0.55), width_ratios=widths)
    top = float(feature.mean(1).quantile(0.995))
    show = {"cmap": SEQUENTIAL, "vmin": 0, "vmax": top}
    for row, image in zip(axes, images, strict=True):
        row[0].imshow(image.permute(1, 2, 0))
    for row, sent in zip(axes, feature.mean(1), strict=True):
        row[1].imshow(sent, **show)
    for number, ber in enumerate(bers):
        channel = BinarySymmetric(ber, random=number)
        damaged = channel(payload)
        received = codec.decompress(damaged, ber, model.feature_shape)
        chances, answers = model.edge(received).softmax(1).max(1)
        for index, row in enumerate(axes):
            bits, flips = (_bits(each[index]) for each in (payload, payload ^ damaged))
            row[2 + 2 * number].imshow(np.where(flips, 2, bits), cmap=BITS, vmin=0, vmax=2, aspect="auto")
            row[3 + 2 * number].imshow(received[index].mean(0), **show)
            right = int(answers[index]) == int(dataset.test.labels[scenes[index]])
            row[3 + 2 * number].set_title(
                f"“{plain(dataset.classes[int(answers[index])])}”  {float(chances[index]):.0%}",
                color=COLORS["green"] if right else COLORS["red"],
                fontsize=10,
                loc="center",
                pad=3,
            )
        axes[-1][2 + 2 * number].set_xlabel(f"{percent(ber)} of bits flip", fontsize=11, loc="left", labelpad=6)
    axes[-1][0].set_xlabel(f"scene\n{images[0].numel():,} bytes", fontsize=10)
    axes[-1][1].set_xlabel(f"feature\n{feature[0].numel():,} values", fontsize=10)
    axes[0][2].set_title(f"{payload.shape[1]} bytes", fontsize=10, loc="center", pad=3)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure


def _bits(payload: torch.Tensor, columns: int = 48) -> np.ndarray:
    """Return a payload's bits as a picture, rows of `columns`."""
    bits = byte_bits(payload).flatten().numpy()
    return np.pad(bits, (0, -len(bits) % columns)).reshape(-1, columns)


def main() -> None:
    use_style()
    checkpoint = load_checkpoint()
    dataset = load_dataset(checkpoint.about["dataset"], image_size=checkpoint.model.image_size)
    pictures = {
        "overview": overview(checkpoint, dataset, (0, 20, 26, 29), BERS),
        "cifar100": draw_measured(load_measured("cifar100"), load_reported("cifar100")),
    }
    for name, figure in pictures.items():
        path = Path(__file__).parents[2] / "notebooks" / "pictures" / f"{name}.png"
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
        print(path)


if __name__ == "__main__":
    main()
