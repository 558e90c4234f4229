"""Plotting: grids of images, scatter plots, curves of metrics, explanatory figures."""
