"""Evaluation of runs: reference statistics, the evaluation protocol, reports and comparisons."""
