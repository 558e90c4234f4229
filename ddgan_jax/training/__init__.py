"""Training: setup of a run, the loop, metrics logs, stop signals, and our image classifiers."""
