"""Frames that the firmware writes are those that the edge reads, byte for byte, with warnings as errors."""

from pathlib import Path

import numpy as np
import pytest

from semanticnn_core.channels.frames import Framing, mask, recovered
from semanticnn_core.stm32.build import WARNINGS, host_compilers, run_tool
from semanticnn_core.stm32.project import SOURCES

pytestmark = pytest.mark.slow

MAIN = r"""
#include <stdio.h>
#include "snn_frame.h"
/* reads payload bytes, packet bytes, model, 16 bytes of mask, then payloads; writes all frames of each */
int main(void)
{
    unsigned char head[21], payload[65535], frame[2000];
    unsigned char sequence = 250;
    if (fread(head, 1, sizeof head, stdin) != sizeof head)
        return 1;
    struct snn_framing framing = {(uint16_t)(head[0] | head[1] << 8), (uint16_t)(head[2] | head[3] << 8), head[4],
                                  head + 5};
    while (fread(payload, 1, framing.payload_bytes, stdin) == framing.payload_bytes) {
        for (unsigned part = 0; part <= snn_frame_parts(&framing); part++) {
            uint16_t size = snn_frame(&framing, payload, sequence, (uint8_t)part, frame);
            fwrite(frame, 1, size, stdout);
        }
        sequence++;
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    (folder / "main.c").write_text(MAIN)
    name, command = list(host_compilers().items())[-1]
    source = SOURCES / "src" / "snn_frame.c"
    include = f"-I{SOURCES / 'src'}"
    run_tool(
        (
            *command,
            "-std=c99",
            "-O1",
            *WARNINGS,
            include,
            str(source),
            str(folder / "main.c"),
            "-o",
            str(folder / "run"),
        ),
        folder,
    )
    return folder / "run"


@pytest.mark.parametrize(
    "size, packet, key", [(384, 222, ""), (384, 48, "key"), (1, 17, ""), (1536, 64, "k"), (97, 51, "")]
)
def test_frames_are_the_same_in_c(program, size, packet, key):
    framing = Framing(173, size, packet, key)
    payloads = np.random.default_rng(size).integers(0, 256, (200, size), dtype=np.uint8)
    head = size.to_bytes(2, "little") + packet.to_bytes(2, "little") + bytes([173]) + mask(key)
    written = run_tool((str(program),), program.parent, given=head + payloads.tobytes()).stdout
    wanted = b"".join(
        frame for number, row in enumerate(payloads) for frame in framing.frames(row.tobytes(), 250 + number)
    )
    assert written == wanted
    header, wrong = recovered(wanted[:16], key)
    assert (header.model, header.sequence, header.part, wrong) == (173, 250, 0, 0)


@pytest.mark.parametrize("size, packet", [(384, 16), (1000, 20)])
def test_what_cannot_be_framed_is_no_frame(program, size, packet):
    head = size.to_bytes(2, "little") + packet.to_bytes(2, "little") + bytes(17)
    assert run_tool((str(program),), program.parent, given=head + bytes(size)).stdout == b""
