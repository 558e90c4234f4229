"""Published PyTorch files and arrays by name, read and written without PyTorch."""
