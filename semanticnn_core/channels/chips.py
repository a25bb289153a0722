"""What a radio chip's own code leaves of the errors: LoRa's Hamming code, Wi-Fi's convolutional code.

Both codes are linear and their decoders symmetric, so that the errors left do not depend on what is sent: they are
found by decoding the errors alone. What is left comes in clusters, half bytes or runs of tens of bits.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from semanticnn_core.channels.base import Arrival, Channel, Payload
from semanticnn_core.channels.bits import derived_seed
from semanticnn_core.channels.radio import LoRa, WiFi, lora_ber, qam_ber
from semanticnn_core.draws import Draws

CHECKS = (0b0111, 0b1110, 0b1011, 0b1101)
"""Which data bits of a half byte each further bit of LoRa's code word is the parity of."""
GENERATORS = (0o133, 0o171)
"""Of Wi-Fi's convolutional code of rate 1/2 and constraint length 7 (IEEE 802.11, 17.3.5.6)."""
STATES = 64


@dataclass(frozen=True)
class LoRaChip(LoRa):
    """LoRa links behind the chip's own code: Hamming 4/5 to 4/8 over half bytes, interleaved over wrong chirps.

    snr: dB. coding_rate: 1 to 4, of which 3 and 4 correct one bit a half byte and 1 and 2 none. A chirp is wrong as
    `lora_ber` says and then any other. The receiver knows the mean rate of what is left; packets whose checksum is
    wrong are handed on. Raises ValueError for another spreading factor or coding rate.
    """

    coding_rate: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.coding_rate <= 4:
            raise ValueError(f"coding_rate must be 1 to 4 for 4/5 to 4/8, got {self.coding_rate}")

    @property
    def ber(self) -> float:
        """The bit error rate behind the code, exactly: a code word has a bit in each of as many chirps."""
        wrong, left = lora_ber(self.snr, self.spreading_factor), hamming_errors(self.coding_rate)
        weights, counts = (torch.tensor([int(e).bit_count() for e in each]) for each in (range(len(left)), left))
        length = 4 + self.coding_rate
        chances = wrong ** weights.double() * (1 - wrong) ** (length - weights)
        return float((chances * counts).sum() / 4)

    @property
    def settings(self) -> dict[str, object]:
        link = f"LoRa 4/{4 + self.coding_rate}"
        return {**super().settings, "ber": self.ber, "link": link}

    def channel(self, seed: int) -> Channel:
        """Return the channel of a seed."""
        draws = Draws(derived_seed(seed, "LoRa chip", self.snr, self.spreading_factor, self.coding_rate))
        ber = self.ber

        def send(payload: Payload) -> Arrival:
            return _arrived(payload, self._errors(*payload.data.shape, draws), ber)

        return send

    def _errors(self, count: int, size: int, draws: Draws) -> Tensor:
        """Return the bits left wrong, uint8 (count, size)."""
        factor, length = self.spreading_factor, 4 + self.coding_rate
        blocks = -(-2 * size // factor)  # of as many half bytes as a chirp has bits
        others = 2**factor - 1
        rate = 2 * lora_ber(self.snr, factor) * others / 2**factor  # of wrong chirps
        draw = draws.uniform(count, blocks, length, 2)
        pattern = (draw[..., 0] < rate) * (1 + (draw[..., 1] * others).long().clamp_max(others - 1))
        bits = pattern[..., None] >> torch.arange(factor) & 1  # (count, blocks, chirps, half bytes)
        # each chirp holds one bit of every half byte of the block
        words = (bits << torch.arange(length)[:, None]).sum(2).flatten(1)[:, : 2 * size]
        left = hamming_errors(self.coding_rate)[words]
        return (left[:, ::2] | left[:, 1::2] << 4).byte()


@lru_cache(maxsize=4)
def hamming_errors(coding_rate: int) -> Tensor:
    """Return what LoRa's decoder leaves of each pattern of wrong bits of a code word: wrong data bits, (2^length,).

    The lowest four bits of a pattern are data.
    """
    checks = CHECKS[:coding_rate]

    def syndrome(word: int) -> int:
        return sum(((word & mask).bit_count() + (word >> 4 + i) & 1) << i for i, mask in enumerate(checks))

    corrects = {syndrome(1 << bit): 1 << bit for bit in range(4 + coding_rate)} if coding_rate > 2 else {}
    words = range(1 << 4 + coding_rate)
    return torch.tensor([(word ^ corrects.get(syndrome(word), 0)) & 15 for word in words])


@dataclass(frozen=True)
class WiFiChip(WiFi):
    """Wi-Fi links behind its convolutional code of rate 1/2, decoded by Viterbi's algorithm from hard decisions.

    snr: of a symbol, dB. The interleaver is taken as perfect: coded bits are wrong independently, as `qam_ber` says.
    The receiver knows the coded bits' rate only, and believes in it.
    """

    @property
    def settings(self) -> dict[str, object]:
        return {**super().settings, "link": "Wi-Fi 1/2"}

    def channel(self, seed: int) -> Channel:
        """Return the channel of a seed."""
        rate = qam_ber(self.snr, self.modulation)
        draws = Draws(derived_seed(seed, "Wi-Fi chip", self.snr, self.modulation))

        def send(payload: Payload) -> Arrival:
            count, size = payload.data.shape
            coded = draws.uniform(count, 8 * size + 6, 2) < rate  # six zeros end the message
            left = viterbi(coded, draws)[:, : 8 * size].unflatten(1, (size, 8))
            return _arrived(payload, (left << torch.arange(8)).sum(2).byte(), rate)

        return send


def viterbi(wrong: Tensor, draws: Draws) -> Tensor:
    """Return the bits, bool (B, n), that the nearest code word to received bits, bool (B, n, 2), stands for.

    The last six of a message's n bits are zeros. Of two words that are equally near, a coin chooses: else zeros, of
    which the errors alone are decoded, would be favoured.
    """
    count, steps, _ = wrong.shape
    state = torch.arange(STATES)
    before = torch.stack([state << 1 & STATES - 1, (state << 1 & STATES - 1) | 1])  # (2, states): where a state is from
    register = state >> 5 << 6 | before  # the new bit, then the six before it
    parity = [torch.tensor([[int(word & mask).bit_count() & 1 for word in row] for row in register.tolist()])
              for mask in GENERATORS]  # fmt: skip
    expected = torch.stack(parity, -1).bool()  # (2, states, 2)
    distance = torch.full((count, STATES), 1 << 20, dtype=torch.int32)
    distance[:, 0] = 0
    choices = torch.empty(steps, count, STATES, dtype=torch.bool)
    costs = torch.stack([(expected ^ torch.tensor([a, b])).sum(-1) for a in (False, True) for b in (False, True)])
    received = 2 * wrong[..., 0].long() + wrong[..., 1].long()
    for step in range(steps):
        reached = distance[:, before] + costs[received[:, step]].int()  # (B, 2, states)
        lead = reached[:, 0] - reached[:, 1] + draws.uniform(count, STATES)  # a coin, where both are equal
        distance, choices[step] = reached.min(1).values, lead > 0.5
    found, at = torch.empty(count, steps, dtype=torch.bool), torch.zeros(count, dtype=torch.long)
    rows = torch.arange(count)
    for step in reversed(range(steps)):
        found[:, step] = at >= STATES // 2
        at = before[choices[step][rows, at].long(), at]
    return found


def _arrived(payload: Payload, errors: Tensor, ber: float) -> Arrival:
    data = payload.data ^ errors.to(payload.data.device) * payload.used
    return Arrival(Payload(data, payload.length, payload.local), ber=ber)
