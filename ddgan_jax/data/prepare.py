"""`python -m ddgan_jax.data.prepare`: earlier name of `python -m ddgan_jax prepare`."""

if __name__ == "__main__":
    from ddgan_jax.cli import run_and_exit

    run_and_exit("prepare")
