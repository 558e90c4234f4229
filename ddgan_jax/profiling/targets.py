"""Accelerators to compile for without having one: TPU slices and NVIDIA GPUs.

The compilers are those of jax: libtpu, and XLA in the CUDA plugin, which both run on a CPU.
"""

import importlib.util
import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.profiling.hardware import CHIPS, Chip


class Accelerator(NamedTuple):
    """An accelerator with what its compiler has to know.

    Attributes:
      platform: "tpu" or "cuda".
      chip: its data sheet.
      description: GPU: see `_describe`.
    """

    platform: str
    chip: Chip
    description: str = ""


def _describe(name: str, **facts: int | float) -> str:
    """XLA's description of a GPU (`GpuTargetConfigProto` as text).

    Args:
      name: what CUDA calls it.
      **facts: what differs between GPUs. Common to those of compute capability 8.0 and 9.0 are
        1024 threads per block, 2048 per multiprocessor, 32 per warp, and 65536 registers.
    """
    major = facts.pop("compute_capability")
    lines = "\n".join(f"  {key}: {value}" for key, value in facts.items())
    return f"""
gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: 2048
  shared_memory_per_block: 49152
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
{lines}
  cuda_compute_capability {{ major: {major} minor: 0 }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{name}"
"""


_HOPPER: dict[str, int | float] = dict(
    compute_capability=9,
    core_count=132,
    fpus_per_core=128,
    shared_memory_per_core=233472,
    shared_memory_per_block_optin=232448,
    l2_cache_size=52428800,
    clock_rate_ghz=1.98,
)
_AMPERE: dict[str, int | float] = dict(
    compute_capability=8,
    core_count=108,
    fpus_per_core=64,
    shared_memory_per_core=167936,
    shared_memory_per_block_optin=166912,
    l2_cache_size=41943040,
    clock_rate_ghz=1.41,
)


def _gpu(name: str, chip: Chip, facts: dict[str, int | float]) -> Accelerator:
    sizes = dict(device_memory_size=chip.memory, memory_bandwidth=int(chip.memory_bandwidth))
    return Accelerator("cuda", chip, _describe(name, **facts, **sizes))


ACCELERATORS = {
    **{name: Accelerator("tpu", CHIPS[f"TPU {name}"]) for name in ("v4", "v5e", "v5p", "v6e")},
    "a100": _gpu("NVIDIA A100-SXM4-80GB", CHIPS["A100"], _AMPERE),
    "h100": _gpu("NVIDIA H100 80GB HBM3", CHIPS["H100"], _HOPPER),
    "h200": _gpu("NVIDIA H200", CHIPS["H200"], _HOPPER),
}
_FORMS = "v5e:2x4, v6e:4x4, v4:2x2x1, v5p:2x2x1, h100, a100, h200 or h100:8"


class Target(NamedTuple):
    """Devices to compile for.

    Attributes:
      text: as the user wrote it, "v5e:2x4".
      kind: key of `ACCELERATORS`.
      chip: data sheet of a device.
      devices: the devices, which exist for the compiler only.
    """

    text: str
    kind: str
    chip: Chip
    devices: list[Any]


def check_target(text: str) -> tuple[str, str]:
    """Split a target into the kind of accelerator and its topology, "" for one GPU.

    Raises:
      UserError: there is no such accelerator, the topology is not one, or the compiler is missing.
    """
    kind, colon, topology = text.partition(":")
    if kind not in ACCELERATORS:
        raise UserError(f"--target is {text!r}; {_FORMS} is needed{nearest(kind, ACCELERATORS)}")
    tpu = ACCELERATORS[kind].platform == "tpu"
    sides = 3 if kind in ("v4", "v5p") else 2
    form = r"[1-9]\d*" + rf"(x[1-9]\d*){{{sides - 1}}}" if tpu else r"[1-9]\d*"
    if not re.fullmatch(form, topology) and (tpu or colon):
        example = {2: "2x4", 3: "2x2x1"}[sides]
        needed = f"a topology, such as {kind}:{example}," if tpu else f"{kind} or {kind}:NUMBER"
        raise UserError(f"--target is {text!r}; {needed} is needed")
    module, extra = ("libtpu", "tpu-compile") if tpu else ("jax_cuda13_plugin", "gpu-compile")
    if importlib.util.find_spec(module) is None:
        raise UserError(
            f"--target={text} needs the compiler in {module.replace('_', '-')}: "
            f"pip install 'ddgan_jax[{extra}]' in an environment of its own"
        )
    return kind, topology


def use_cpu(cache: str = "") -> None:
    """Make this process compile on its CPU, whatever devices the machine has.

    To be called before jax has initialized its devices.

    Args:
      cache: folder for what is compiled; "": nothing is kept, and nothing is taken from a cache.
    """
    os.environ["TPU_SKIP_MDS_QUERY"] = "1"
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
    os.environ.setdefault("TPU_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Without a GPU no kernels can be timed to choose among them.
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_gpu_autotune_level" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_autotune_level=0".strip()
    update: Callable[[str, Any], None] = jax.config.update
    update("jax_platforms", "cpu")
    update("jax_enable_compilation_cache", bool(cache))
    if cache:
        update("jax_compilation_cache_dir", cache)


def find_target(text: str) -> Target:
    """The devices that `text` names.

    Raises:
      UserError: see `check_target`; or the compiler knows no such topology.
    """
    from jax.experimental import topologies

    kind, topology = check_target(text)
    accelerator = ACCELERATORS[kind]
    try:
        if accelerator.platform == "tpu":
            found = topologies.get_topology_desc(platform="tpu", topology_name=text)
        else:
            found = topologies.get_topology_desc(
                platform="cuda",
                topology_name="",
                target_config=accelerator.description,
                topology=f"1x1x{topology or 1}",
            )
    except Exception as error:  # of the compiler, of many kinds
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"--target is {text!r}, which the compiler refuses: {reason}") from error
    return Target(text, kind, accelerator.chip, list(found.devices))
