"""Pictures: grids of images, scatter plots, curves, explanatory figures."""
