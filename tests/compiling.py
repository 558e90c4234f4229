"""What makes XLA compile fast: tests compile a lot and compute little."""

import mmap
from pathlib import Path

import jaxlib

# The older way to emit code: half the time for small programs, four fifths with convolutions.
FLAG = "xla_cpu_use_fusion_emitters"


def xla_flags():
    """The value of XLA_FLAGS. XLA ends a process that gives it a flag it does not know any more."""
    for library in Path(jaxlib.__file__).parent.glob("libjax_common.*"):
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as m:
            if m.find(FLAG.encode()) >= 0:
                return f"--{FLAG}=false"
    return ""
