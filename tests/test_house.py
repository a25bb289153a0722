"""The house: which room may import which, and how large a room may grow."""

import ast
from collections import Counter
from pathlib import Path

import semanticnn_core

PACKAGE = Path(semanticnn_core.__file__).parent
ORDER = (
    "settings config files draws channels codec datasets tasks explain training systems evaluation stm32 live studies "
    "viz panels runner commands cli __main__"
).split()
"""A room imports only rooms before it."""
NEVER = {("stm32", "evaluation"), ("live", "evaluation")}
"""What the order would allow and the house does not: what runs beside a board measures nothing."""


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports() -> set[tuple[str, str, str]]:
    """Return (importing room, imported room, file) of every import within the package, those in functions too."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.startswith("semanticnn_core.") and path.parts[-1] != "send_vectors.py":
                    found.add((room(path), name.split(".")[1], str(path.relative_to(PACKAGE))))
    return found


def test_every_room_is_known():
    rooms = {room(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert rooms <= set(ORDER), rooms - set(ORDER)


def test_rooms_import_only_what_stands_before_them():
    wrong = [
        f"{file} imports {imported}"
        for importing, imported, file in imports()
        if importing != imported and (ORDER.index(imported) > ORDER.index(importing) or (importing, imported) in NEVER)
    ]
    assert not wrong, sorted(wrong)


def test_the_largest_room_stays_below_a_fifth():
    lines: Counter[str] = Counter()
    for path in PACKAGE.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            lines[room(path)] += len(path.read_bytes().splitlines())
    share = {name: count / lines.total() for name, count in lines.items()}
    assert max(share.values()) < 0.2, max(share.items(), key=lambda item: item[1])
