"""Every parser that takes foreign bytes, under fire: the list, a smoke test, and (`./run bench fuzz`) the long run."""
