"""`python -m ddgan_jax.convert.inception`: earlier name of `python -m ddgan_jax inception`."""

if __name__ == "__main__":
    from ddgan_jax.cli import entry

    entry("inception")
