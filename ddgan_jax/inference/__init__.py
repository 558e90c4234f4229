"""Inference: load a trained run, sample, encode, decode, export, import published weights."""
