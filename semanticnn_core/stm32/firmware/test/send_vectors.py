"""Send the test vectors to a board over a serial port and compare what comes back: python test/send_vectors.py PORT

Needs pyserial. The board runs test/uart_main.c, where the messages are described.
"""

import struct
import sys
import time
from binascii import crc_hqx
from pathlib import Path

import serial

MARK, TRIES, CYCLES = b"SN", 5, 4


def message(number: int, content: bytes) -> bytes:
    """Return a row as the board expects it."""
    body = struct.pack("<H", number) + content
    return MARK + body + struct.pack("<H", crc_hqx(body, 0xFFFF))


def answer(port: serial.Serial, most: int) -> tuple[bytes, int] | None:
    """Read one answer: at most so many payload bytes, and cycles; None where the row was refused, or it is damaged."""
    seen = b""
    while seen != MARK:
        seen = (seen + _exactly(port, 1))[-2:]
    body = _exactly(port, 2)
    (count,) = struct.unpack("<H", body)
    if count > most:  # the number that refuses is larger than any payload
        return None
    body += _exactly(port, count + CYCLES)
    whole = struct.unpack("<H", _exactly(port, 2))[0] == crc_hqx(body, 0xFFFF)
    return (body[2:-CYCLES], int.from_bytes(body[-CYCLES:], "little")) if whole else None


def payload(port: serial.Serial, rows: list[bytes], length: int) -> tuple[bytes, list[int]]:
    """Return what the board makes of an image, and the cycles of each row.

    The image is begun anew where a byte was lost; the program ends where the board is mute.
    """
    for _ in range(TRIES):
        port.write(bytes(len(message(0, rows[0]))))  # ends a row that was begun; the board looks for the next mark
        port.flush()
        time.sleep(0.05)
        port.reset_input_buffer()
        got, cycles = b"", []
        for number, row in enumerate(rows):
            port.write(message(number, row))
            try:
                part = answer(port, length)
            except TimeoutError:
                part = None
            if part is None:
                break
            got, cycles = got + part[0], [*cycles, part[1]]
        else:
            return got, cycles
    sys.exit(f"{port.port} gave no whole image in {TRIES} tries: is test/uart_main.c of this project on the board, is "
             "this its port?")  # fmt: skip


def _exactly(port: serial.Serial, count: int) -> bytes:
    """Read so many bytes, or raise TimeoutError."""
    got = port.read(count)
    if len(got) < count:
        raise TimeoutError
    return got


def main() -> None:
    """Compare all images' payloads, byte for byte."""
    if len(sys.argv) != 2:
        sys.exit("usage: python test/send_vectors.py PORT    (for instance /dev/ttyACM0, or COM3)")
    vectors = Path(__file__).resolve().parents[1] / "vectors"
    sizes = dict(line.split("=") for line in (vectors / "sizes.txt").read_text(encoding="utf-8").split())
    size, length = int(sizes["image_size"]), int(sizes["payload_bytes"])
    images, payloads = (vectors / "images.bin").read_bytes(), (vectors / "payloads.bin").read_bytes()
    wrong = 0
    try:
        port = serial.Serial(sys.argv[1], 115200, timeout=2)
    except serial.SerialException as error:
        sys.exit(f"{sys.argv[1]} cannot be opened: {error}")
    with port:
        for number in range(len(payloads) // length):
            starts = range(number * size * 3 * size, (number + 1) * size * 3 * size, 3 * size)
            got, cycles = payload(port, [images[start : start + 3 * size] for start in starts], length)
            wanted = payloads[number * length : (number + 1) * length]
            wrong += sum(a != b for a, b in zip(got, wanted, strict=False)) + abs(len(got) - len(wanted))
            taken = f"; {sum(cycles):,} cycles, at most {max(cycles):,} for a row" if any(cycles) else ""
            print(f"image {number}: {len(got)} bytes, {wrong} wrong so far{taken}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
