"""The README's pictures: scenes on their way through ever worse channels, and what was measured on CIFAR-100.

`python -m semanticnn_core.runner.overview` writes overview.png, from the default checkpoint, and cifar100.png, from the
published table, into notebooks/pictures.
"""

import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.config import percent
from semanticnn_core.datasets.base import ImageDataset
from semanticnn_core.evaluation.tables import load_table
from semanticnn_core.files import CHECKOUT, replacing
from semanticnn_core.systems import open_checkpoint
from semanticnn_core.systems.checkpoints import Checkpoint
from semanticnn_core.systems.journey import byte_bits
from semanticnn_core.viz.results import draw_measured
from semanticnn_core.viz.style import COLORS, SEQUENTIAL, panes, plain, use_style

BERS = (0.001, 0.01, 0.05, 0.1)
BITS = ListedColormap(["#F2F2F2", "#9AA5B1", COLORS["red"]])
"""Colours of a bit that is 0, of one that is 1, and of one that flipped."""


@torch.no_grad()
def overview(checkpoint: Checkpoint, dataset: ImageDataset, scenes: tuple[int, ...], bers: tuple[float, ...]) -> Figure:
    """Draw one row a scene: image, feature sent, then payload bits, feature received and answer at each error rate."""
    model, codec = checkpoint.model, checkpoint.codec
    images = dataset.test["image"][torch.tensor(scenes)]
    feature = model.device_part(images)
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
        arrival = BinarySymmetric(ber, random=number)(payload)
        flips = payload.data ^ arrival.payload.data
        received = codec.decompress(arrival, model.feature_shape)
        chances, answers = model.edge_part(received).softmax(1).max(1)
        for index, row in enumerate(axes):
            bits, flipped = (_bits(each[index]) for each in (payload.data, flips))
            row[2 + 2 * number].imshow(np.where(flipped, 2, bits), cmap=BITS, vmin=0, vmax=2, aspect="auto")
            row[3 + 2 * number].imshow(received[index].mean(0), **show)
            right = int(answers[index]) == int(dataset.test["label"][scenes[index]])
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
    axes[0][2].set_title(f"{payload.data.shape[1]} bytes", fontsize=10, loc="center", pad=3)
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
    checkpoint, dataset = open_checkpoint()
    pictures = {
        "overview": overview(checkpoint, dataset, (0, 20, 26, 29), BERS),
        "cifar100": draw_measured(load_table("cifar100"), load_table("cifar100", "reported")),
    }
    for name, figure in pictures.items():
        path = CHECKOUT / "notebooks" / "pictures" / f"{name}.png"
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)
        print(path)


if __name__ == "__main__":
    main()
