"""The page: its wiring, with a stand-in for gradio, and what it answers."""

import sys
import threading
import types

import jax
import numpy as np
import pytest
import tiny_runs as runs
from PIL import Image

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.images import to_uint8
from ddgan_jax.demo import server
from ddgan_jax.demo.page import build_page
from tests.demo.a_model import answers, inverting
from tests.demo.stand_in import gradio, serving


def page_of(found):
    module, made = gradio()
    return build_page(module, found, "a <run>", "about & more"), made


def click(made, label, number=0, **changes):
    """What the button with a label answers, with the first values of its inputs but for `changes`.

    Args:
      made: components.
      label: of the button.
      number: which of several.
      changes: kind of a component -> its value; State gets a list.
    """
    button = [c for c in made if c.kind == "Button" and c.label == label][number]
    [(function, inputs, outputs, kwargs)] = button.clicks
    states = iter(changes.get("State", ()))
    values = [next(states) if c.kind == "State" else changes.get(c.kind, c.value) for c in inputs]
    assert kwargs == {"api_visibility": "private"}
    answer = function(*values)
    assert len(outputs) == (len(answer) if isinstance(answer, tuple) else 1)
    return answer


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "digit.png"
    image = to_uint8(inverting().sample(jax.random.key(5), 1, labels=2))[0, ..., 0]
    Image.fromarray(image).save(path)
    return path


def test_every_button_answers(file):
    _, made = page_of(answers())
    head = next(c for c in made if c.kind == "HTML").args[0]
    assert "<h1>a &lt;run&gt;</h1><p>about &amp; more</p>" in head
    drawn = click(made, "Draw", Slider=4)
    assert drawn.count("<img") == 1 and "seed 0, step 3, 3 network evaluations" in drawn
    assert drawn != click(made, "Draw", Slider=4, Number=1)
    assert drawn != click(made, "Draw", Slider=4, Dropdown="2")

    shown, one = click(made, "Invert", File=str(file), Slider=4)
    assert shown.count("<figure>") == 3 and "(found)" in shown and "4 steps, " in shown
    layer = np.zeros((280, 280, 4), np.uint8)
    layer[40:200, 100:140, 3] = 255
    drawing = {"layers": [layer], "background": None, "composite": layer}
    shown, other = click(made, "Invert", 1, Sketchpad=drawing, Slider=0, Dropdown="3")
    assert shown.count("<figure>") == 2 and "class 3 (given)" in shown

    assert click(made, "First image as every class", State=[one]).count("<figure>") == 4
    mixed = click(made, "Mix the latents of both", State=[one, other])
    rows = 1 if one.label == other.label else 2
    assert mixed.count("<figure>") == 4 * rows and "3 of 3 times of the first" in mixed
    between = click(made, "Interpolate", State=[one, other], Slider=5)
    assert between.count("<figure>") == 5 * rows and "50%" in between


def test_mistakes_are_one_line_on_the_page(file, tmp_path):
    _, made = page_of(answers())
    wrong = tmp_path / "<b>.png"
    wrong.write_text("no image")
    for answer, words in (
        (click(made, "Draw", Number=-1), "the seed is -1; a whole number from 0"),
        (click(made, "Draw", Number=None), "the seed is None"),
        (click(made, "Draw", Slider=300), "the number of images is 300"),
        (click(made, "Draw", Dropdown="cat"), "the class is &#x27;cat&#x27;; one of 0, 1"),
        (click(made, "Invert")[0], "there is no image; draw one or choose a file"),
        (click(made, "Invert", File=str(wrong))[0], "&lt;b&gt;.png is not a readable image"),
        (click(made, "First image as every class", State=[None]), "the first image is missing"),
        (click(made, "Interpolate", State=[None, None]), "the first image is missing"),
    ):
        assert answer.startswith('<p class="mistake" role="alert">') and words in answer, answer
        assert answer.count("<p") == 1 and "\n" not in answer
    assert click(made, "Invert")[1] is None


def test_a_bug_is_one_line_on_the_page(monkeypatch):
    def broken(*args):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("ddgan_jax.demo.actions.sample_picture", broken)
    _, made = page_of(answers())
    assert "a bug: oh" in click(made, "Draw", Slider=4)


def test_only_what_the_model_can_is_there():
    found = answers(classes=0)
    _, made = page_of(found)
    labels = {c.label for c in made}
    assert "Class" not in labels and "First image as every class" not in labels
    assert "Truncation" not in labels and "Steps" not in labels
    can = found.abilities._replace(inverts=False, truncates=True, steps=5, most_steps=50)
    _, made = page_of(found._replace(abilities=can))
    labels = {c.label for c in made}
    assert {"Truncation", "Steps"} <= labels and "Invert" not in labels
    answer = click(made, "Draw", Slider=1)  # DDDG has no styles: one line
    assert "has no styles" in answer or "<img" in answer


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def stopped(monkeypatch):
    """The command with stand-ins; ^C comes when it waits the second time. (components, servers)."""
    module, made = gradio()
    modules, servers = serving()
    for name, each in {"gradio": module, **modules}.items():
        monkeypatch.setitem(sys.modules, name, each)

    def sleep(seconds):
        if seconds == 1:
            raise KeyboardInterrupt
        threading.Event().wait(0.01)

    monkeypatch.setattr(server, "time", types.SimpleNamespace(sleep=sleep))
    return made, servers


def test_the_command_serves_this_machine_until_it_is_stopped(stopped, capfd, monkeypatch):
    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")
    made, servers = stopped
    assert runs.main(["demo", "--port=0"]) == 130
    out, err = capfd.readouterr()
    [ran] = servers
    app, where = ran.config
    assert where["host"] == "127.0.0.1" and app["path"] == "/" and app["ssr_mode"] is False
    assert f"http://127.0.0.1:{where['port']} has the page; ^C ends it" in out
    assert (
        err == "stopped by SIGINT\n" and ran.should_exit and ran.force_exit and "warning" not in out
    )
    page = app["page"]
    assert page.kwargs == {"analytics_enabled": False, "title": "dddg_mnist28"}  # the shipped run
    assert page.queued == {"default_concurrency_limit": 1}
    assert server.os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    # gradio reads uploaded files only, from a folder that is gone afterwards.
    assert page.has_launched
    uploads = server.Path(server.os.environ["GRADIO_TEMP_DIR"])
    assert uploads.name.startswith(server.UPLOADS) and not uploads.exists()
    labels = [c.label for c in made]
    assert "Draw" in labels and "Invert" in labels


def test_a_page_for_other_machines_says_so(stopped, capfd):
    assert runs.main(["demo", "--port=0", "--host=0.0.0.0"]) == 130
    assert "everybody who reaches 0.0.0.0 can use the page" in capfd.readouterr().out


def test_a_server_that_ends_is_one_line(stopped, capfd, monkeypatch):
    monkeypatch.setattr(sys.modules["uvicorn"].Server, "run", lambda self: None)
    runs.fails(capfd, ["demo", "--port=0"], "has ended by itself")


def test_gradio_is_missing(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "gradio", None)
    runs.fails(capfd, ["demo", "--port=0"], "demo needs the package gradio", "pip install gradio")


def test_addresses_that_cannot_be_listened_at(capfd):
    with server.socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        runs.fails(capfd, ["demo", f"--port={port}"], f"--port={port} cannot be listened at")
        with pytest.raises(UserError, match="Address already in use"):
            server.check_address("127.0.0.1", port)
    runs.fails(capfd, ["demo", "--host=no host"], "--host is 'no host'; an address")
    runs.fails(capfd, ["demo", "--port=70000"], "--port is 70000; a port in [0, 65535]")
