"""The page, made of gradio's components; what its buttons do is in `answers`."""

import html
from typing import Any

from ddgan_jax.demo import actions, markup
from ddgan_jax.demo.answers import FIND, IN_TURN, Answers

CANVAS = (280, 280)  # pixels of the drawing pad
_BRUSH = 20


def build_page(gradio: Any, answers: Answers, title: str, about: str) -> Any:
    """The page of a run.

    Args:
      gradio: the package, see `server.import_gradio`.
      answers: the functions behind the buttons.
      title: name of the run.
      about: a line about the run.

    Returns:
      gradio's `Blocks`.
    """
    with gradio.Blocks(title=title, analytics_enabled=False) as page:
        gradio.HTML(f"{markup.STYLE}<h1>{html.escape(title)}</h1><p>{html.escape(about)}</p>")
        can = answers.abilities
        if can.samples:
            with gradio.Tab("Samples"):
                _add_samples(gradio, answers)
        if can.inverts:
            with gradio.Tab("Invert and edit"):
                _add_inversion(gradio, answers)
    return page


def _add_samples(gradio: Any, answers: Answers) -> None:
    """Controls of samples, and their picture."""
    can = answers.abilities
    with gradio.Row():
        seed = gradio.Number(0, label="Seed")  # `answers` checks it
        many = actions.usual_count(len(can.classes))
        count = gradio.Slider(1, actions.MOST_IMAGES, many, step=1, label="Number of images")
        controls = {"seed": seed, "count": count}
        if can.classes:
            choices = [IN_TURN, *can.classes]
            controls["label"] = gradio.Dropdown(choices, value=IN_TURN, label="Class")
        if can.truncates:
            controls["psi"] = gradio.Slider(0, 1.5, 1, step=0.05, label="Truncation")
        if can.most_steps > 1:
            most, usual = can.most_steps, can.steps
            controls["steps"] = gradio.Slider(1, most, usual, step=1, label="Steps")
    button, shown = gradio.Button("Draw", variant="primary"), gradio.HTML()

    def samples(*values: Any) -> str:
        return answers.samples(**dict(zip(controls, values, strict=True)))

    button.click(samples, list(controls.values()), shown, api_visibility="private")


def _add_inversion(gradio: Any, answers: Answers) -> None:
    """Two images with their inversion, and what can be made of one or both."""
    can = answers.abilities
    refinement = None
    if can.refines:
        refinement = gradio.Slider(0, 500, 100, step=10, label="Steps of refinement")
    with gradio.Row():
        with gradio.Column():
            first = _add_image(gradio, answers, "First image", refinement)
        with gradio.Column():
            second = _add_image(gradio, answers, "Second image", refinement)
    if can.classes:
        button, shown = gradio.Button("First image as every class"), gradio.HTML()
        button.click(answers.every_class, [first], shown, api_visibility="private")
    if can.mixes:
        button, shown = gradio.Button("Mix the latents of both"), gradio.HTML()
        button.click(answers.mixed, [first, second], shown, api_visibility="private")
    number = gradio.Slider(2, 16, 8, step=1, label="Images between first and second")
    button, shown = gradio.Button("Interpolate"), gradio.HTML()
    button.click(answers.between, [first, second, number], shown, api_visibility="private")


def _add_image(gradio: Any, answers: Answers, name: str, refinement: Any) -> Any:
    """Ways to give an image, a button that inverts it, and the result; returns its state."""
    can = answers.abilities
    result = gradio.State()
    drawing = gradio.Sketchpad(
        label=f"{name}: draw it",
        type="numpy",
        image_mode="RGBA",
        canvas_size=CANVAS,
        brush=gradio.Brush(default_size=_BRUSH, colors=["#000000"], color_mode="fixed"),
        layers=False,
        sources=[],
        transforms=[],
    )
    controls = {
        "drawing": drawing,
        "file": gradio.File(label=f"{name}: or choose a file", type="filepath", height=110),
        "swap": gradio.Checkbox(False, label="Exchange light and dark of the file"),
    }
    if can.classes:
        controls["label"] = gradio.Dropdown([FIND, *can.classes], value=FIND, label="Class")
    if refinement is not None:
        controls["steps"] = refinement
    button, shown = gradio.Button("Invert", variant="primary"), gradio.HTML()

    def inverted(*values: Any) -> Any:
        return answers.inverted(**dict(zip(controls, values, strict=True)))

    button.click(inverted, list(controls.values()), [shown, result], api_visibility="private")
    return result
