"""`convert`: import published PyTorch checkpoints as run folders, and export runs as checkpoints.

`SOURCES` has one entry per published network. A new entry needs, if its network is new, a function
that pairs names of PyTorch arrays with our parameters (`interop.names`).
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from ddgan_jax.config import check, flatten
from ddgan_jax.config.stored import read_config, save_config
from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.core.types import PyTree
from ddgan_jax.data import data_shape
from ddgan_jax.inference import network_pickles
from ddgan_jax.inference.described import as_described
from ddgan_jax.inference.model import load
from ddgan_jax.inference.resumable import StoredNetwork, describe_networks, read_resumable
from ddgan_jax.inference.sampling import ema_shapes
from ddgan_jax.interop import diffusers, stylegan2, wddgan
from ddgan_jax.interop.autoencoder import autoencoder_entries
from ddgan_jax.interop.autoencoder_shapes import describe_autoencoder
from ddgan_jax.interop.averages import read_published
from ddgan_jax.interop.ddgan import discriminator_entries, generator_entries
from ddgan_jax.interop.ddgan_shapes import describe_discriminator, describe_generator
from ddgan_jax.interop.names import (
    WRAPPER,
    Arrays,
    Entry,
    Tree,
    plain_names,
    to_arrays,
    to_params,
)
from ddgan_jax.interop.network_pickle import is_network_pickle, read_network
from ddgan_jax.interop.safetensors import write_safetensors
from ddgan_jax.interop.torch_writer import write_torch
from ddgan_jax.interop.weight_files import content_hash
from ddgan_jax.io import checkpoint, run_folder
from ddgan_jax.io.best import Step
from ddgan_jax.io.storage import AnyPath
from ddgan_jax.methods import build_method, complete_config, validate
from ddgan_jax.spaces import build_space, find_space, wavelet

Say = Callable[[str], None]


class Published(NamedTuple):
    """A published network whose checkpoints can be imported and exported.

    Attributes:
      file: name of the published file, for messages.
      role: role of our method whose moving average the checkpoint holds.
      entries: parameters of that role, or their shapes -> pairs of PyTorch and our names.
      needs: field of the config -> values for which our network is the published one.
      inside: keys of the dictionaries that hold the arrays, in files that hold more than them.
      without: prefixes of array names that belong to other networks and are skipped.
      optimizers: such a key -> key of the optimizer that keeps the moving averages of its arrays.
      buffers: the arrays of a file have buffers, which become the learned role "styles".
      names: arrays of the file -> the same arrays by the names that `entries` has.
      settings: (file, config) -> None; raises a UserError if what lies beside the file describes a
        network with other settings.
      trained: role -> where a file from which the published code resumes has the network and its
        optimizer.
      tables: whether files are written as `.safetensors`; both forms are read.
      reorder: (parameters, order of bands) -> parameters, between the published order of bands and
        ours, in both directions; None for a network without bands.
      describe: (arrays, height of the network's input) -> fields of the config that the arrays
        tell; raises a UserError if they are those of another network.
    """

    file: str
    role: str
    entries: Callable[[Tree], tuple[Entry, ...]]
    needs: Mapping[str, tuple[Any, ...]]
    inside: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    optimizers: Mapping[str, str] = {}
    buffers: bool = False
    names: Callable[[Arrays], Arrays] = plain_names
    settings: Callable[[Path, ConfigDict], None] = lambda file, config: None
    trained: Mapping[str, StoredNetwork] = {}
    tables: bool = False
    reorder: Callable[[PyTree, str], PyTree] | None = None
    describe: Callable[[Arrays, int], dict[str, Any]] = lambda arrays, height: {}


# Values of fields that a config does not have.
_ABSENT = {
    "classes": 0,
    "space.kind": "pixels",
    "gen.normalize_z": True,
    "gen.coordinates": False,
    "gen.equalized": False,
}
_DDGAN = {
    **{"method": ("ddgan",), "gen.network": ("ncsnpp",), "classes": (0,)},
    **{field: (value,) for field, value in _ABSENT.items()},
}
_WDDGAN = _DDGAN | {
    "gen.network": ("ncsnpp", "wavelet_ncsnpp"),
    "space.kind": ("wavelet",),
    "space.levels": (1,),
    "space.scale": (wavelet.PUBLISHED_SCALE,),
}
_LDDGAN = _DDGAN | {"space.kind": ("latent",)}
_LDM = {"method": ("autoencoder",), "autoencoder.network": ("conv",)}

_STYLEGAN2 = {
    "method": ("gan", "diffusion_gan"),
    "gen.network": ("stylegan2",),
    "space.kind": ("pixels",),
}

_RESUME: dict[str, Any] = dict(
    inside=("netG_dict",), optimizers={"netG_dict": "optimizerG"}, describe=describe_generator
)
_BOTH = {
    "gen": StoredNetwork("netG_dict", "optimizerG", generator_entries),
    "disc": StoredNetwork("netD_dict", "optimizerD", discriminator_entries, describe_discriminator),
}

SOURCES: dict[str, Published] = {
    "ddgan": Published("netG_N.pth", "gen", generator_entries, _DDGAN, **_RESUME, trained=_BOTH),
    "wddgan": Published(
        "netG_N.pth",
        "gen",
        wddgan.generator_entries,
        _WDDGAN,
        **_RESUME,
        reorder=wddgan.reorder_bands,
    ),
    "lddgan": Published("netG_N.pth", "gen", generator_entries, _LDDGAN, **_RESUME, trained=_BOTH),
    "ldm_autoencoder": Published(
        "model.ckpt",
        "autoencoder",
        autoencoder_entries,
        _LDM,
        ("state_dict",),
        ("loss.",),  # the networks of its loss
        describe=describe_autoencoder,
    ),
    "stylegan2": Published("network.pkl", "gen", stylegan2.entries, _STYLEGAN2, buffers=True),
    "diffusers_ddpm": Published(
        "diffusion_pytorch_model.safetensors",
        "gen",
        diffusers.generator_entries,
        {"method": ("ddpm",), "gen.network": ("ddpm_unet",), "classes": (0,)},
        names=diffusers.current_names,
        settings=diffusers.check_settings,
        tables=True,
    ),
}


def find_source(name: str) -> Published:
    """The entry of `SOURCES` called `name`.

    Raises:
      UserError: there is no such entry.
    """
    if name not in SOURCES:
        raise UserError(
            f"--source is {name!r}; one of {', '.join(SOURCES)} is needed{nearest(name, SOURCES)}"
        )
    return SOURCES[name]


def _mismatch(source: Published, config: ConfigDict) -> str:
    """A message about the first field that differs from the published network; "" if none does."""
    flat = {**_ABSENT, **flatten(config)}
    for field, allowed in source.needs.items():
        if flat.get(field) not in allowed:
            values = " or ".join(map(repr, allowed))
            return f"config.{field} is {flat.get(field)!r}; {values} is needed"
    return ""


def check_network(name: str, config: ConfigDict) -> None:
    """Raise a UserError unless `config` describes the network of the source `name`."""
    if reason := _mismatch(find_source(name), config):
        raise UserError(f"{reason} for --source={name}")


def source_of(config: ConfigDict) -> str:
    """The name of the source with the network that `config` describes.

    Raises:
      UserError: there is no such source.
    """
    found = [name for name, source in SOURCES.items() if not _mismatch(source, config)]
    if not found:
        raise UserError(
            f"a run of method {config.method!r} with config.gen.network = "
            f"{flatten(config).get('gen.network')!r} has no counterpart among the published "
            f"networks: {', '.join(SOURCES)}; with --source=NAME the error names the difference"
        )
    return found[0]


def bands_of(source: str, config: ConfigDict, bands: str = "", recorded: str = "") -> str:
    """The order of wavelet bands of a published checkpoint.

    Args:
      source: a key of `SOURCES`.
      config: of the network.
      bands: one of `wddgan.BANDS`; "": the recorded one, or else that of the checkpoint that was
        published for the data of the config.
      recorded: what the run folder says of the checkpoint that it was imported from.

    Returns:
      One of `wddgan.BANDS`; "" for a network without bands.

    Raises:
      UserError: another text, or `bands` for a network without bands.
    """
    if find_source(source).reorder is None:
        if bands:
            raise UserError(f"--bands is {bands!r}; --source={source} has no wavelet bands")
        return ""
    if bands and bands not in wddgan.BANDS:
        allowed = " or ".join(wddgan.BANDS)
        raise UserError(f"--bands is {bands!r}; {allowed} is needed{nearest(bands, wddgan.BANDS)}")
    return bands or recorded or wddgan.published_bands(config.data.name)


def converted(workdir: AnyPath) -> dict[str, Any]:
    """Facts about an imported run, from its info.json: source, file, what the weights are, ...

    Returns:
      {} for a run that was trained here.

    Raises:
      UserError: info.json is missing or damaged.
    """
    found: dict[str, Any] = run_folder.read_info(workdir).get("converted", {})
    return found


def import_checkpoint(
    source: str,
    file: Path,
    config: ConfigDict | None,
    workdir: AnyPath,
    step: int = 0,
    raw: bool = False,
    bands: str = "",
    given: Collection[str] = (),
    say: Say = print,
) -> None:
    """Write a run folder that can be sampled from and evaluated, but not trained further.

    Args:
      source: a key of `SOURCES`.
      file: the PyTorch file. It is read without PyTorch, and nothing in it is executed.
      config: config of the checkpoint. Where the file describes its network, see `as_described`.
        None for a network pickle of StyleGAN2; of a given config, data and evaluation are used
        then.
      workdir: the run folder to create.
      step: step to store the checkpoint under; the file does not have its own.
      raw: import the weights that the optimizer updates, where the file has averages beside them.
      bands: see `bands_of`.
      given: fields of the config that were given on the command line.
      say: prints a line.

    Raises:
      UserError: the config describes another network, the file is damaged or has other arrays, or
        `workdir` is not empty.
    """
    published, network = find_source(source), None
    if published.buffers and is_network_pickle(file):
        network = read_network(file, raw=raw)
        config = validate(network_pickles.config_of(network, config, file))
    if config is None:
        raise UserError(f"--config is needed to import --checkpoint={file}")
    bands = bands_of(source, config, bands)
    check_network(source, config)
    if workdir.is_file() or (workdir.is_dir() and any(workdir.iterdir())):
        raise UserError(f"--workdir={workdir} is not empty; choose a new folder")
    networks = find_space(config).frozen
    if networks:
        check(config, "space.kind", "autoencoder" in config.space, "another space")
        check(config, "space.scale", config.space.scale > 0, "the one it was trained with")
    if network:
        arrays, holds, shape = network.arrays, network.holds, network_pickles.shape_of(config)
    else:
        published.settings(file, config)
        arrays, holds = read_published(file, published.inside, published.optimizers, raw=raw)
        shape = data_shape(config.data)
    try:
        arrays = dict(published.names(arrays))
        arrays = {k: v for k, v in arrays.items() if not k.startswith(published.without)}
        found = published.describe(arrays, build_space(config, shape).shape[0])
        found |= describe_networks(file, published.trained, config)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    config, described = as_described(file, config, found, given)
    check_network(source, validate(config))
    method = build_method(config, shape)
    roles = ema_shapes(method, config)
    abstract, learned = roles[published.role], {}
    try:
        own = arrays
        if published.buffers:
            own, learned["styles"] = stylegan2.without_buffers(arrays)
            _check_shapes(learned["styles"], roles["styles"])
        params = to_params(own, published.entries(abstract), abstract)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    if published.reorder:
        params = published.reorder(params, bands)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    resumable = read_resumable(file, published.trained, method)
    with run_folder.emptied_on_failure(workdir):
        run_folder.check_writable("--workdir", workdir)
        if networks:
            networks.copy_into(config, {"scale": config.space.scale}, workdir)
        save_config(workdir, config)
        run_folder.save_info(
            workdir,
            {
                "method": config.method,
                "parameters": {published.role: count},
                "data": {"name": config.data.name, "shape": list(shape)},
                "converted": {
                    "source": source,
                    "file": file.name,
                    "weights": content_hash(arrays),
                    "holds": holds,
                    **({"bands": bands} if bands else {}),
                    **resumable.facts(),
                },
            },
        )
        with checkpoint.opened(workdir) as manager:
            ema = {published.role: params, **learned}
            checkpoint.save_ema(manager, step, ema, resumable.state())
    order = f"; wavelet bands in the order of {bands}" if bands else ""
    for line in [f"{holds}{order}", *resumable.notes]:
        say(f"{file}: {line}")
    if described:
        say(described)
    say(f"{count:,} parameters; draw samples: python -m ddgan_jax sample --workdir={workdir}")


def _check_shapes(found: PyTree, needed: PyTree) -> None:
    """Raise a UserError unless what a file has of the learned role "styles" fits the network."""
    ours, theirs = (jax.tree.map(lambda x: x.shape, tree) for tree in (needed, found))
    if ours != theirs:
        raise UserError("w_avg or noise_const have other shapes: it has another architecture")


def export_checkpoint(
    workdir: AnyPath,
    file: Path,
    source: str = "",
    step: Step = None,
    wrapped: bool = False,
    bands: str = "",
    say: Say = print,
) -> None:
    """Write the moving average of a run as a file that the published code loads.

    Args:
      workdir: the run folder.
      file: the file to write: a PyTorch file, which `torch.load(file, weights_only=True)` reads, or
        `.safetensors` for Diffusers.
      source: a key of `SOURCES`; "": the one that fits the config.
      step: see `model.load`.
      wrapped: begin every name with "module.".
      bands: see `bands_of`.
      say: prints a line.

    Raises:
      UserError: see `model.load`; the network has no published counterpart; or `file` exists.
    """
    config = complete_config(read_config(workdir))
    source = source or source_of(config)
    check_network(source, config)
    recorded = converted(workdir).get("bands", "")
    bands = bands_of(source, config, bands, recorded if recorded in wddgan.BANDS else "")
    if file.exists():
        raise UserError(f"--export={file} exists; choose a new name")
    run_folder.check_writable("--export", file.parent)
    model = load(workdir, step)
    params = jax.device_get(model.params[SOURCES[source].role])
    if reorder := SOURCES[source].reorder:
        params = reorder(params, bands)
    arrays = to_arrays(params, SOURCES[source].entries(params))
    if SOURCES[source].buffers:
        arrays = stylegan2.with_buffers(arrays, jax.device_get(model.params["styles"]))
    write = write_safetensors if SOURCES[source].tables else write_torch
    prefix = WRAPPER if wrapped else ""
    write(file, {prefix + name: array for name, array in arrays.items()})
    order = f", wavelet bands in the order of {bands}" if bands else ""
    say(f"{file}: {len(arrays)} arrays of step {model.step}, weights {content_hash(arrays)}{order}")
