"""Published PyTorch parameters -> ours."""
