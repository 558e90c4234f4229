"""A page in the browser to play with a run: draw samples; invert, edit and mix images.

Of the digits that come with the package:
  python -m ddgan_jax demo
Of another run, at another port:
  python -m ddgan_jax demo --workdir=runs/dddg_digits --port=8080
The page is served to this machine alone, unless --host names another address of it. The package
gradio is needed: pip install gradio
"""

import argparse

from ddgan_jax.cli import common
from ddgan_jax.cli.exit_status import bug_line
from ddgan_jax.io.hub import run_path

SHIPPED = "pretrained://dddg_mnist28"


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    common.add_workdir(parser, "run folder; default: the one that comes with the package")
    common.add_plugins(parser)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to serve at; default: 127.0.0.1")
    add(
        "--port",
        type=common.integer(0, 65535, "a port in [0, 65535]"),
        default=7860,
        help="port to serve at, 0 for any that is free; default: 7860",
    )
    common.add_step(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until the command is stopped; returns the exit status."""
    workdir = common.run_of(args) if args.workdir else run_path(SHIPPED)
    from ddgan_jax.demo.server import check_address, import_gradio, serve

    check_address(args.host, args.port)
    gradio = import_gradio()
    from ddgan_jax.demo.abilities import with_steps
    from ddgan_jax.demo.answers import answers_of
    from ddgan_jax.demo.page import build_page

    print(f"reading {workdir} ...")
    step = common.step_of(args)

    def unexpected(error: Exception) -> str:
        line = bug_line(error)
        print(f"error: {line}")
        return line

    answers = answers_of(lambda steps: with_steps(workdir, step, steps), unexpected)
    model = answers.load(0)
    about = (
        f"{model.config.method}, trained on {model.config.data.name}, step {model.step:,}: images "
        f"of {' x '.join(map(str, model.shape))}"
    )
    page = build_page(gradio, answers, workdir.resolve().name, about)
    serve(gradio, page, args.host, args.port)
    return 0
