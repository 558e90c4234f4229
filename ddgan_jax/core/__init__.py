"""Contracts, losses, optimizers, random keys, errors, and the train step."""
