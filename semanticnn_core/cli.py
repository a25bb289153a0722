"""The `semanticnn` command. Only the standard library and tyro load before a command runs."""

import codecs
import io
import os
import sys

from semanticnn_core.commands.shared import record
from semanticnn_core.commands.words import checked, parsed


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one line and exit status 2, not in a traceback."""
    _replace_what_streams_lack()
    words = sys.argv[1:] if arguments is None else arguments
    command = None
    try:
        _check_text(words)
        record(words)
        command = parsed(words)
        checked(command)()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (ValueError, OSError, RuntimeError) as error:
        print(_explained(error), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        hint = "; the training goes on from its last finished epoch with --resume" if hasattr(command, "resume") else ""
        sys.exit(f"interrupted{hint}")


def _replace_what_streams_lack() -> None:
    """Print ? for characters such as × that the encoding of standard output or error lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(errors="replace")


def _check_text(words: list[str]) -> None:
    """Refuse words that no table or settings file in UTF-8 could hold, before any work."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:  # Python's stand-ins for bytes that the locale does not know
            raise ValueError(f"{word!r} is no text in this locale; set PYTHONUTF8=1, or give another name") from None


def _explained(error: Exception) -> str:
    """Return a user's mistake in one line; raise again what is a defect of ours, to show where it is."""
    if not str(error) or type(error) is RuntimeError or isinstance(error, NotImplementedError | RecursionError):
        raise error
    return "error: " + " ".join(str(error).split())


if __name__ == "__main__":
    main()
