"""Earlier names of the commands `convert`, `inception` and `lpips`."""
