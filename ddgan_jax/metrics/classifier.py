"""`python -m ddgan_jax.metrics.classifier`: earlier name of `python -m ddgan_jax classifier`."""

if __name__ == "__main__":
    from ddgan_jax.cli import run_and_exit

    run_and_exit("classifier")
