"""Speed, FLOPs and memory, measured on this machine and predicted for others."""
