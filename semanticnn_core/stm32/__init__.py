"""The device side as integers and as C, proven byte for byte without a board."""
