"""What the `semanticnn` command can do, one dataclass a command: its fields are the options."""
