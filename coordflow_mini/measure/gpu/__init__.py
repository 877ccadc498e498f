"""Checks of a GPU: the same results as on the CPU, no waiting, and how fast it is."""
