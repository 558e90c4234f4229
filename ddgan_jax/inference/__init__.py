"""A trained run as a value: load, sample, encode, decode, export, import published weights."""
