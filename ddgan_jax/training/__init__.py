"""Training: setup of a run, the loop, its logs and signals, and our classifiers."""
