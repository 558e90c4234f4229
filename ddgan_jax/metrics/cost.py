"""`python -m ddgan_jax.metrics.cost`: earlier name of `python -m ddgan_jax metrics_cost`."""

if __name__ == "__main__":
    from ddgan_jax.cli import run_and_exit

    run_and_exit("metrics_cost")
