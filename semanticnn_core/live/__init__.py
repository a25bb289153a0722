"""The same acts on two machines: an edge that answers, a device that sends, and a link between that damages bytes."""
