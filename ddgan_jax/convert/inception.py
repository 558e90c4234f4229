"""`python -m ddgan_jax.convert.inception`: earlier name of `python -m ddgan_jax inception`."""

if __name__ == "__main__":
    from ddgan_jax.cli import run_and_exit

    run_and_exit("inception")
