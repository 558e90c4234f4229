"""`python -m ddgan_jax.main [COMMAND] [--mode=COMMAND] [--flag=value ...]`.

The default command is train. `python -m ddgan_jax` and `ddgan` are the same; the commands are in
`ddgan_jax/cli`, one file each.
"""

from ddgan_jax.cli import run_and_exit

if __name__ == "__main__":
    run_and_exit()
