"""The model card of an exported run: README.md from its config and its evaluation, with samples."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddgan_jax.core.errors import UserError
from ddgan_jax.evaluation import markdown, modes
from ddgan_jax.inference.model import Model, load
from ddgan_jax.inference.sample import Wanted, draw
from ddgan_jax.inference.weights import write_weights
from ddgan_jax.io import run_folder
from ddgan_jax.io.read_json import COUNT, NUMBERS, TABLE, read_json
from ddgan_jax.io.storage import AnyPath, copy_file
from ddgan_jax.metrics import reconstruction
from ddgan_jax.plotting.grids import picture, save_png

CARD, GRID, WEIGHTS, REPORT = "README.md", "samples.png", "model.safetensors", "evaluation.json"
PLACE = "USER/NAME"  # of the repository, where it is not known
_SHOWN = 64  # samples of the picture


def write_card(
    workdir: AnyPath, folder: Path, repository: str = PLACE, license_name: str = ""
) -> None:
    """Write a card, a picture of samples and the weights as `.safetensors` to an exported run.

    Args:
      workdir: the run that was exported; its evaluation.json is copied, if it has one.
      folder: the exported copy.
      repository: USER/NAME that the commands of the card name.
      license_name: see `io.hub.check_license`; none is written if it is "".

    Raises:
      UserError: see `load`; the evaluation is damaged, or the folder cannot be written to.
    """
    model = load(folder)
    report = _report(workdir)
    info = run_folder.read_info(folder)
    try:
        if report:
            copy_file(workdir / REPORT, folder / REPORT, workdir)
        if model.method.sample:
            columns = model.classes if 1 < model.classes <= _SHOWN // 4 else 0
            count = columns * max(_SHOWN // columns, 1) if columns else _SHOWN
            save_png(folder / GRID, picture(draw(model, Wanted(count))["images"], columns))
        write_weights(folder / WEIGHTS, model)
        text = card(model, info, report, repository, license_name)
        run_folder.write_atomically(folder / CARD, text)
    except OSError as error:
        raise UserError(f"{folder} cannot be written to: {error.strerror or error}") from error


def _report(workdir: AnyPath) -> dict[str, Any]:
    """The evaluation of a run; {} if it was not evaluated."""
    optional = {"protocol.samples": COUNT, "protocol.step": COUNT, "protocol.reference": TABLE}
    try:
        return read_json(
            workdir / REPORT, {"metrics": NUMBERS, "protocol": TABLE}, optional, workdir
        )
    except FileNotFoundError:
        return {}


def card(
    model: Model,
    info: Mapping[str, Any],
    report: Mapping[str, Any],
    repository: str = PLACE,
    license_name: str = "",
) -> str:
    """The text of a model card.

    Args:
      model: the exported run.
      info: its info.json.
      report: its evaluation.json, or {}.
      repository, license_name: see `write_card`.

    Returns:
      Markdown with a head in YAML.
    """
    name = repository.rpartition("/")[2]
    parts = [
        _head(model, license_name),
        f"# {markdown.escaped(name if repository != PLACE else str(model.config.method))}",
        "A run of ddgan_jax, a library of denoising diffusion GANs for JAX.",
    ]
    if model.method.sample:
        parts.append(f"![samples]({GRID})")
    parts += ["## Model", markdown.table(_facts(model, info))]
    parts += ["## Evaluation", *_numbers(model, report)]
    parts += ["## Use", _use(model, repository)]
    return "\n\n".join(parts) + "\n"


def _head(model: Model, license_name: str) -> str:
    """The YAML that the hub reads; texts are set as JSON, which YAML includes."""
    tags = ["ddgan_jax", "jax", str(model.config.method)]
    lines = ["library_name: ddgan_jax", f"tags: {json.dumps(tags)}"]
    if model.method.sample and len(model.shape) == 3 and not model.classes:
        lines.append("pipeline_tag: unconditional-image-generation")
    if license_name:
        lines.append(f"license: {license_name}")
    return "\n".join(["---", *lines, "---"])


def _facts(model: Model, info: Mapping[str, Any]) -> list[list[str]]:
    config, parameters = model.config, info.get("parameters", {})
    counts = ", ".join(f"{role} {count:,}" for role, count in parameters.items())
    examples = info["data"].get("examples")
    data = f"{config.data.name}, {config.data.split}"
    rows = [
        ["method", str(config.method)],
        ["data", data + (f" ({examples:,} examples)" if examples else "")],
        ["shape of an example", " x ".join(map(str, model.shape))],
        ["classes", str(model.classes or "none")],
        ["network evaluations per sample", str(model.method.nfe)],
        ["parameters", counts],
        ["train steps", f"{model.step:,} of {config.train.batch_size} examples"],
        ["weights", "moving average"],
    ]
    return [["", ""], *(row for row in rows if row[1])]


def _numbers(model: Model, report: Mapping[str, Any]) -> list[str]:
    """The table of an evaluation, with what each number was measured with."""
    if not report:
        return ["This run has not been evaluated."]
    metrics, protocol = report["metrics"], report["protocol"]
    names = [name for name in metrics if "_std" not in name]
    networks = _networks(names, protocol.get("extractors"))
    samples = protocol.get("samples")
    count = f"{samples:,}" if samples is not None else ""
    rows = [[name, f"{metrics[name]:.4g}", networks[name], count] for name in names]
    parts = [markdown.table([["metric", "value", "feature network", "samples"], *rows])]
    reference = protocol.get("reference", {})
    known = {key: str(reference[key]) for key in ("name", "split", "images") if key in reference}
    if known:
        said = f"Reference: {known.get('name', '')} {known.get('split', '')}".rstrip()
        images = f", {known['images']} images" if "images" in known else ""
        parts.append(markdown.escaped(f"{said}{images}."))
    if protocol.get("step") != model.step:
        parts.append(
            f"Measured at step {markdown.escaped(str(protocol.get('step')))}; these weights are of "
            f"step {model.step}."
        )
    parts.append(f"`{REPORT}` has the whole protocol.")
    return parts


def _networks(names: Sequence[str], described: Any) -> dict[str, str]:
    """The feature network of each number; "" for numbers that need none, or if it is not known."""
    entries = described if isinstance(described, list) else []
    networks = {
        str(entry.get("name")): str(entry.get("weights_hash", ""))[:16]
        for entry in entries
        if isinstance(entry, dict)
    }
    ends = {network: "_" + network.replace("-", "_") for network in networks}
    own = {n: next((k for k, end in ends.items() if n.endswith(end)), "") for n in names}
    rest = [network for network in networks if network not in own.values()]
    plain = modes.BETTER | reconstruction.BETTER
    found = {}
    for name, network in own.items():
        if not network and len(rest) == 1 and name not in plain:
            network = rest[0]
        found[name] = f"{network} ({networks[network]})" if network else ""
    return found


def _use(model: Model, repository: str) -> str:
    address = f"hf://{repository}"
    labels = ", labels=3" if model.classes > 3 else ""
    python = ["import jax", "import ddgan_jax", "", f'model = ddgan_jax.load("{address}")']
    if model.method.sample:
        python.append(f"images = model.sample(jax.random.key(0), 64{labels})  # in [-1, 1]")
        command = f"python -m ddgan_jax sample --workdir={address} --out=samples"
    else:
        python.append("latents = model.encode(images)")
        command = f"python -m ddgan_jax reconstruct --workdir={address} --out=reconstructions"
    code = "\n".join(python)
    note = (
        f"`{WEIGHTS}` has the same weights by their names in the network, for other programs; "
        "`load` reads `checkpoints/`."
    )
    return f"```python\n{code}\n```\n\n```bash\n{command}\n```\n\n{note}"
