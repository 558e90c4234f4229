"""`python -m ddgan_jax.scaling`: earlier name of `python -m ddgan_jax scaling`."""

if __name__ == "__main__":
    from ddgan_jax.cli import run_and_exit

    run_and_exit("scaling")
