"""What several commands need."""

import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from semanticnn_core.codec import SemanticCodec
    from semanticnn_core.systems.checkpoints import Checkpoint


def codec_of(checkpoint: "Checkpoint") -> "SemanticCodec":
    """Return a checkpoint's codec; refuse one that has none."""
    if checkpoint.codec is None:
        name = checkpoint.name
        raise ValueError(f"checkpoint {name} has no codec; make one: semanticnn train --checkpoint {name}")
    return checkpoint.codec


def this_command() -> str:
    """Return the running command as anybody would give it: without where the data lie here, or that it was resumed."""
    words, kept = iter(sys.argv[1:]), []
    for word in words:
        option = word.partition("=")[0].replace("_", "-")
        if option == "--data-root" and "=" not in word:
            next(words, None)
        elif option not in ("--data-root", "--resume"):
            kept.append(word)
    return shlex.join(["semanticnn", *kept])
