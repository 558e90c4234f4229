"""Flax networks, and the layers they share."""
