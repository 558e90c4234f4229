"""The commands that a script of `examples` runs."""

import os
import subprocess
from pathlib import Path


def commands(script: Path, folder: Path, *args: object) -> list[list[str]]:
    """The arguments of every `python` that a script starts; a stand-in writes them down."""
    python = folder / "bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@" --end\n')
    python.chmod(0o755)
    env = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", str(script), *map(str, args)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("--end\n")[:-1]
    return [part.splitlines() for part in parts]
