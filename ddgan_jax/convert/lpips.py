"""`python -m ddgan_jax.convert.lpips`: earlier name of `python -m ddgan_jax lpips`."""

if __name__ == "__main__":
    from ddgan_jax.cli import run_and_exit

    run_and_exit("lpips")
