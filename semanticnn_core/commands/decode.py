"""`semanticnn decode`: the bytes that a board sent as answers."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from semanticnn_core.commands.encode import SentBySystem
from semanticnn_core.commands.shared import check_classifier
from semanticnn_core.config import percent
from semanticnn_core.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from semanticnn_core.systems import SemanticNN

CANDIDATES = 3
"""Classes that are named for each payload, the most likely first."""


@dataclass(frozen=True, kw_only=True)
class Decode(SentBySystem):
    """Answer the bytes that a board sent: for each payload its number, class and probability, then the next two."""

    payload: tyro.conf.Positional[Path]
    """File of payloads, one after another; - reads standard input."""
    ber: float | Literal["unknown"] = setting("unknown", 0, 0.5)
    """Bit error rate that the receiver believes in, in [0, 0.5]; unknown: its usual assumption."""
    json: bool = False
    """Print one JSON object and nothing else."""

    def __call__(self) -> None:
        from semanticnn_core.systems import SemanticNN, load_checkpoint

        checkpoint = load_checkpoint(self.checkpoint, self.data_root)
        system = SemanticNN(checkpoint.model, checkpoint.system(self.system), self.slice)
        check_classifier(system.model, self.checkpoint)
        content = sys.stdin.buffer.read() if str(self.payload) == "-" else self.payload.read_bytes()
        size = system.payload_bytes
        if not content or len(content) % size:
            raise ValueError(
                f"{self.payload} holds {len(content)} bytes, which is no multiple of the {size} bytes of a payload; "
                f"give the --checkpoint, --slice-ratio and --window that it was sent with"
            )
        outputs = self._outputs(system, content)
        names = checkpoint.about.get("classes") or list(map(str, range(outputs.shape[1])))
        ranked = outputs.softmax(1).topk(min(CANDIDATES, len(names)))
        answers = [
            [{"class": names[each], "probability": share} for each, share in zip(*both, strict=True)]
            for both in zip(ranked.indices.tolist(), ranked.values.tolist(), strict=True)
        ]
        if self.json:
            numbered = [{"payload": number, "candidates": each} for number, each in enumerate(answers)]
            print(json.dumps({"payload_bytes": size, "ber": self.ber, "answers": numbered}))
            return
        for number, each in enumerate(answers):
            print(number, *(f"{one['class']} {percent(one['probability'])}" for one in each), sep="\t")

    def _outputs(self, system: "SemanticNN", content: bytes) -> "Tensor":
        """Return the edge's outputs for payloads one after another, (N, classes), on the CPU."""
        import torch

        from semanticnn_core.channels import Arrival, Payload

        ber = None if self.ber == "unknown" else self.ber
        data = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, system.payload_bytes)
        parts = data.to(system.model.device).split(250)
        return torch.cat([system.receive(Arrival(Payload(part), ber=ber)).outputs.cpu() for part in parts])
