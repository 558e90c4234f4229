"""`python -m ddgan_jax COMMAND`: the same as `python -m ddgan_jax.main --mode=COMMAND`."""

from ddgan_jax.cli import run_and_exit

if __name__ == "__main__":
    run_and_exit()
