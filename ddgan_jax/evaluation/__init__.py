"""Evaluation: reference data, the protocol, reports, and the page that compares runs."""
