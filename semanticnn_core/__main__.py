"""`python -m semanticnn_core`, the same as the `semanticnn` command."""

from semanticnn_core.cli import main

main()
