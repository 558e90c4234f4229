"""XLA flags that shorten compilation, which takes most of the tests' time."""

import mmap
from pathlib import Path

import jaxlib

# The older way to emit code: half the time for small programs, four fifths with convolutions.
FLAG = "xla_cpu_use_fusion_emitters"


def xla_flags():
    """The value of XLA_FLAGS; empty if this XLA does not know the flag, since it would abort."""
    if jaxlib.version.__version_info__ >= (0, 12):  # has the name, but no such flag
        return ""
    for library in Path(jaxlib.__file__).parent.glob("libjax_common.*"):
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m:
            if m.find(FLAG.encode()) >= 0:
                return f"--{FLAG}=false"
    return ""
