"""Systems along a trace: one image at each time, over the link as it is then."""

from collections.abc import Iterable

import pandas as pd
import torch

from semanticnn_core.channels import BinarySymmetric
from semanticnn_core.channels.bits import derived_seed
from semanticnn_core.datasets.base import Split, moved
from semanticnn_core.evaluation.sweep import BATCH
from semanticnn_core.systems.base import OffloadSystem


@torch.no_grad()
def along(systems: Iterable[OffloadSystem], split: Split, trace: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return a row a system and time: system, seconds, ber, bytes, right: whether the image of that time was answered.

    trace: seconds and ber. Images are taken in turn, the same for all systems. The receiver knows the rate of the
    moment. Tasks whose score is no mean over images are refused with a ValueError.
    """
    rows, rates = [], torch.tensor(trace["ber"].to_numpy(), dtype=torch.float32)
    turns = split.pick(torch.arange(len(trace)) % len(split))
    for system in systems:
        generator = torch.Generator().manual_seed(derived_seed(seed, "trace", len(trace)))
        for index, batch in turns.batches(BATCH, system.model.device):
            payload = system.send(batch["image"])
            received = system.receive(BinarySymmetric(rates[index].to(payload.data.device), generator)(payload))
            right = system.model.task.per_image(moved(received.outputs, "cpu"), moved(batch, "cpu"))
            if right is None:
                raise ValueError(f"{system.model.task.metric} is no mean over images, so no image has a score")
            sent = payload.length if received.sent is None else received.sent
            now = trace.iloc[index.tolist()]
            columns = {"seconds": now["seconds"].to_numpy(), "ber": now["ber"].to_numpy(), "bytes": sent.cpu().numpy()}
            rows.append(pd.DataFrame({"system": system.name, **columns, "right": right.numpy()}))
    return pd.concat(rows, ignore_index=True)
