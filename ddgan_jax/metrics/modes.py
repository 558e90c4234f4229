"""`python -m ddgan_jax.metrics.modes`: earlier name of `python -m ddgan_jax modes`."""

if __name__ == "__main__":
    from ddgan_jax.cli import entry

    entry("modes")
