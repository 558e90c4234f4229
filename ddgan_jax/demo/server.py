"""gradio, which serves a page on this machine until the process is told to stop."""

import importlib
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ddgan_jax.core.errors import UserError

LARGEST_UPLOAD = "32mb"
UPLOADS = "ddgan_jax_uploads_"  # beginning of the name of the folder for uploads
FONTS = ("system-ui", "sans-serif")


def import_gradio() -> Any:
    """The package gradio, told to report nothing to anybody.

    What is uploaded goes to a folder that `serve` removes at its end, unless $GRADIO_TEMP_DIR names
    another.

    Raises:
      UserError: it is not installed.
    """
    for name, value in (
        ("GRADIO_ANALYTICS_ENABLED", "False"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("DO_NOT_TRACK", "1"),
    ):
        os.environ[name] = value
    if not os.environ.get("GRADIO_TEMP_DIR"):
        os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix=UPLOADS)
    try:
        import gradio
    except ImportError as error:
        raise UserError(
            f"demo needs the package gradio ({error}); pip install gradio installs it"
        ) from None
    return gradio


def check_address(host: str, port: int) -> int:
    """Check that a server can listen at an address.

    Args:
      host: name or address of an interface of this machine.
      port: its port; 0: any that is free.

    Returns:
      The port.

    Raises:
      UserError: the machine has no such interface, or the port cannot be used.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UserError(
            f"--host is {host!r}; an address of this machine, such as 127.0.0.1, is needed"
        ) from None
    with socket.socket(family, kind) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OSError as error:
            raise UserError(
                f"--host={host} --port={port} cannot be listened at: {error.strerror or error}; "
                "another port, or --port=0 for any that is free, is needed"
            ) from None
        return int(trial.getsockname()[1])


def serve(gradio: Any, page: Any, host: str, port: int, say: Callable[[str], None] = print) -> None:
    """Serve a page until a signal raises an exception in this thread.

    Args:
      gradio: the package.
      page: gradio's `Blocks`.
      host: the interface to listen at.
      port: see `check_address`.
      say: prints a line.

    Raises:
      UserError: see `check_address`; or the server ends by itself.
    """
    fastapi, uvicorn = (importlib.import_module(name) for name in ("fastapi", "uvicorn"))
    port = check_address(host, port)
    page.queue(default_concurrency_limit=1)  # one computation at a time
    app = gradio.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        page,
        path="/",
        server_name=host,
        server_port=port,
        footer_links=[],
        ssr_mode=False,
        show_error=False,
        max_file_size=LARGEST_UPLOAD,
        # Fonts of the machine, so that nothing is fetched from elsewhere.
        theme=gradio.themes.Default(font=FONTS, font_mono=["monospace"]),
    )
    # With it gradio refuses paths of files that were not uploaded to the page.
    page.has_launched = True
    # `gradio.launch` gives up on a machine that needs more than seconds to start.
    settings = uvicorn.Config(app, host=host, port=port, log_config=None, log_level="error")
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True, name="page")
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            time.sleep(0.1)
        if server.started:
            shown = f"[{host}]" if ":" in host else host
            say(f"http://{shown}:{port} has the page; ^C ends it")
            if not _is_loopback(host):
                say(f"warning: everybody who reaches {host} can use the page")
        while thread.is_alive():
            time.sleep(1)
    finally:
        for name in ("uvicorn.error", "asyncio"):  # pages that are open are no errors
            logging.getLogger(name).setLevel(logging.CRITICAL)
        server.should_exit = server.force_exit = True
        thread.join(timeout=5)
        _remove_uploads()
    raise UserError(f"the server at --host={host} --port={port} has ended by itself")


def _remove_uploads() -> None:
    """Remove the folder of uploads, unless the user has named one."""
    folder = Path(os.environ.get("GRADIO_TEMP_DIR", ""))
    if folder.name.startswith(UPLOADS):
        shutil.rmtree(folder, ignore_errors=True)


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
