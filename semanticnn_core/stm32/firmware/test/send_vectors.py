"""Send the test vectors to a board over a serial port and compare what comes back: python test/send_vectors.py PORT

Needs pyserial. The board runs test/uart_main.c.
"""

import sys
from pathlib import Path

import serial


def answer(port: serial.Serial) -> bytes:
    """Read one answer: pieces that begin with their length, 255 standing for 254 bytes and more to come."""
    payload = b""
    while True:
        length = _exactly(port, 1)[0]
        payload += _exactly(port, min(length, 254))
        if length < 255:
            return payload


def _exactly(port: serial.Serial, count: int) -> bytes:
    """Read so many bytes, or say that the board is mute and end."""
    got = port.read(count)
    if len(got) < count:
        sys.exit(f"{port.port} sent {len(got)} of {count} bytes in {port.timeout} s: is test/uart_main.c on the board, "
                 "is this its port, was it reset since the last try?")  # fmt: skip
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
        port = serial.Serial(sys.argv[1], 115200, timeout=10)
    except serial.SerialException as error:
        sys.exit(f"{sys.argv[1]} cannot be opened: {error}")
    with port:
        for number in range(len(payloads) // length):
            got = b""
            for row in range(size):
                start = (number * size + row) * 3 * size
                port.write(images[start : start + 3 * size])
                got += answer(port)
            got += answer(port)
            wanted = payloads[number * length : (number + 1) * length]
            wrong += sum(a != b for a, b in zip(got, wanted, strict=False)) + abs(len(got) - len(wanted))
            print(f"image {number}: {len(got)} bytes, {wrong} wrong so far")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
