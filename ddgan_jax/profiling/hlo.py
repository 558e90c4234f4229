"""Read the HLO text of compiled programs: kernels, their bytes, FLOPs and cycles, collectives.

The text is what `jax.stages.Compiled.as_text()` returns. An instruction is one line,

  %name = bf16[8,128]{1,0} fusion(%a, %b), calls=%computation, metadata={op_name="..."}, ...

within a computation; the entry computation and the bodies of its loops hold the kernels.
"""

import functools
import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_NAME = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ")
_OPCODE = re.compile(r" *([\w\-]+)\(")
_ARRAY = re.compile(r"\b(pred|token|[a-z]+\d+\w*)\[([\d,]*)\]")
_OPERAND = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|branch_computations)=\{?(%[^,}\s]+)")
_COLLECTIVE = re.compile(
    r"(all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?$"
)
# Instructions that no kernel is launched for.
_FREE = {
    *("parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "iota"),
    *("partition-id", "replica-id", "opt-barrier", "add-dependency", "domain"),
}
_SLICES = {"slice", "dynamic-slice", "gather"}
_PASSES_ON = {"bitcast", "copy", "convert", "reshape", "transpose"}
_ELEMENTWISE = {
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "negate", "abs", "sign"),
    *("select", "compare", "clamp", "and", "or", "not", "xor", "is-finite"),
    *("exponential", "log", "logistic", "tanh", "sqrt", "rsqrt", "power", "cosine", "sine"),
}


class Instruction(NamedTuple):
    """One instruction.

    Attributes:
      name, opcode: as in the text.
      arrays: dtype and shape of each array of the result.
      given: the text of its operands.
      rest: the text behind them.
      root: whether it is the result of its computation.
    """

    name: str
    opcode: str
    arrays: tuple[tuple[str, tuple[int, ...]], ...]
    given: str
    rest: str
    root: bool

    @property
    def operands(self) -> list[str]:
        """Names of the operands."""
        return _OPERAND.findall(self.given)

    @property
    def elements(self) -> int:
        """Elements of the first array of the result."""
        return math.prod(self.arrays[0][1])

    @property
    def nbytes(self) -> int:
        """Bytes of the result."""
        return sum(math.prod(shape) * bits(dtype) // 8 for dtype, shape in self.arrays)

    def find(self, pattern: str) -> str:
        """The first group of a pattern in the text behind the operands, or ""."""
        found = re.search(pattern, self.rest)
        return found[1] if found else ""

    def number(self, key: str) -> int:
        """A number in the backend config, such as `"estimated_cycles":"123"`; 0 if it is absent."""
        return int(self.find(rf'"{key}":(?:{{"n":)?"?(\d+)') or 0)


class Kernel(NamedTuple):
    """Work of one instruction in one execution of the program.

    Attributes:
      kind: opcode, or the target of a custom call.
      module: where it comes from, see `module_of`.
      runs: how many times it runs.
      nbytes: bytes that it reads and writes each time.
      flops: FLOPs of the convolutions and matrix products in it, each time.
      wide: whether their inputs are float32.
      cycles: the compiler's estimate, each time; TPU only.
      collective: whether it moves data between devices.
    """

    kind: str
    module: str
    runs: int
    nbytes: int
    flops: float
    wide: bool
    cycles: int
    collective: bool


class Program(NamedTuple):
    """The computations of a compiled program by name, and the name of the first to run."""

    computations: Mapping[str, Mapping[str, Instruction]]
    entry: str


def bits(dtype: str) -> int:
    """Bits of a number of a dtype as HLO names it."""
    if dtype in ("pred", "token"):
        return 8 if dtype == "pred" else 0
    found = re.search(r"\d+", dtype)
    return int(found[0]) if found else 0


def parse(text: str) -> Program:
    """Read a program.

    Raises:
      ValueError: the text has no entry computation.
    """
    computations: dict[str, dict[str, Instruction]] = {}
    current: dict[str, Instruction] = {}
    entry = ""
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            current = computations[head[2]] = {}
            entry = head[2] if head[1] else entry
        elif found := _instruction(line):
            current[found.name] = found
    if not entry:
        raise ValueError("HLO text without an entry computation")
    return Program(computations, entry)


def _instruction(line: str) -> Instruction | None:
    name = _NAME.match(line)
    if not name:
        return None
    start = name.end()
    end = _closing(line, start) if line[start] == "(" else line.find(" ", start)
    opcode = _OPCODE.match(line, end)
    if end < 0 or not opcode:
        return None
    close = _closing(line, opcode.end() - 1)
    arrays = tuple(
        (dtype, tuple(int(size) for size in sizes.split(",") if size))
        for dtype, sizes in _ARRAY.findall(line[start:end])
    )
    given = line[opcode.end() : close - 1]
    return Instruction(name[2], opcode[1], arrays, given, line[close:], bool(name[1]))


def _closing(line: str, start: int) -> int:
    """The position behind the parenthesis that closes the one at `start`."""
    depth = 0
    for i in range(start, len(line)):
        depth += (line[i] == "(") - (line[i] == ")")
        if not depth:
            return i + 1
    return len(line)


def collectives(text: str) -> dict[str, tuple[int, int]]:
    """Count the collectives of a compiled program.

    Args:
      text: its HLO text, or some lines of it. The body of a loop counts once.

    Returns:
      Kind of collective -> (number, bytes of their results on one device).
    """
    found: dict[str, tuple[int, int]] = {}
    for line in text.splitlines():
        instruction = _instruction(line)
        kind = instruction and _COLLECTIVE.match(instruction.opcode)
        if instruction and kind:
            count, total = found.get(kind[1], (0, 0))
            found[kind[1]] = (count + 1, total + instruction.nbytes)
    return found


def kernels(program: Program) -> list[Kernel]:
    """All kernels of one execution; loops are counted as often as they run, if that is known."""
    return list(_kernels(program, program.entry, 1))


def _kernels(program: Program, computation: str, runs: int) -> Iterator[Kernel]:
    body = program.computations[computation]
    for instruction in body.values():
        opcode = instruction.opcode
        if opcode in _FREE or opcode.endswith("-done"):
            continue
        called = [c.lstrip("%") for c in _CALLED.findall(instruction.rest)]
        if opcode == "while":
            times = max(instruction.number("known_trip_count"), 1)
            inner = instruction.find(r"body=%?([\w.\-]+)")
            yield from _kernels(program, inner, runs * times)
        elif opcode in ("call", "conditional", "async-start"):
            for name in called[:1]:  # of the branches of a conditional, the first
                yield from _kernels(program, name, runs)
        else:
            yield _kernel(program, body, instruction, called, runs)


def _kernel(
    program: Program,
    body: Mapping[str, Instruction],
    instruction: Instruction,
    called: list[str],
    runs: int,
) -> Kernel:
    fused: Mapping[str, Instruction] = {}
    if instruction.opcode == "fusion":
        fused = program.computations[called[0]]
    parts = fused or {instruction.name: instruction}
    products = [found for i in parts.values() if (found := _product(fused or body, i))]
    return Kernel(
        instruction.find(r'custom_call_target="([^"]*)"') or instruction.opcode,
        module_of(instruction.find(r'op_name="([^"]*)"')),
        runs,
        _traffic(body, instruction, fused),
        sum(flops for flops, _ in products),
        any(wide for _, wide in products),
        instruction.number("estimated_cycles"),
        bool(_COLLECTIVE.match(instruction.opcode)),
    )


def _product(
    body: Mapping[str, Instruction], instruction: Instruction
) -> tuple[float, bool] | None:
    """FLOPs of a convolution or matrix product, and whether it multiplies float32; else None."""
    operands = [body[name] for name in instruction.operands if name in body]
    sizes = [math.prod(o.arrays[0][1]) for o in operands if o.arrays]
    if len(sizes) < 2 or not instruction.arrays:
        return None
    labels = instruction.find(r"dim_labels=\w+_(\w+)->")
    target = instruction.find(r'custom_call_target="([^"]*)"')
    size, shape = math.prod(instruction.arrays[0][1]), operands[0].arrays[0][1]
    if instruction.opcode == "dot" or "gemm" in target or "matmul" in target:
        dims = instruction.find(r"lhs_contracting_dim(?:s|ensions)\"?[=:][{\[]([^}\]]*)")
        flops = 2.0 * size * math.prod(shape[int(d)] for d in re.findall(r"\d+", dims))
    elif labels and (instruction.opcode == "convolution" or "conv" in target):
        output, kernel = size, operands[1]
        if "Input" in target:  # of the gradient of the output, and the kernel
            output = sizes[0]
        elif "Filter" in target:  # of the input, and the gradient of the output
            output, kernel = sizes[1], instruction
        sides = kernel.arrays[0][1]
        flops = 2.0 * output * math.prod(sides) / sides[labels.index("o")]
    else:
        return None
    return flops, any(o.arrays[0][0] == "f32" for o in operands[:2])


def _traffic(
    body: Mapping[str, Instruction],
    instruction: Instruction,
    fused: Mapping[str, Instruction],
) -> int:
    """Bytes that an instruction reads and writes.

    Of an operand of which a fusion takes slices only, at once or after operations on each element,
    the slices count; of a result that a fusion updates in place, the update.
    """
    names = instruction.operands
    reads = [body[name].nbytes if name in body else 0 for name in names]
    writes = instruction.nbytes
    if instruction.opcode in _SLICES:
        reads = [writes]
    shares = _shares_read(fused)
    for name, parameter in fused.items():
        if parameter.opcode == "parameter":
            reads[int(parameter.given)] = round(shares[name] * parameter.nbytes)
    root = next((i for i in fused.values() if i.root), None)
    while root and root.opcode in _PASSES_ON and root.operands[0] in fused:
        root = fused[root.operands[0]]
    if root and root.opcode == "dynamic-update-slice":
        writes = fused[root.operands[1]].nbytes
    return sum(reads) + writes


def _shares_read(fused: Mapping[str, Instruction]) -> dict[str, float]:
    """The share of each array within a fusion that the result needs; 1 where that is not known."""
    shares = {name: float(instruction.root) for name, instruction in fused.items()}
    for user in reversed(list(fused.values())):  # users stand behind what they use
        for i, name in enumerate(user.operands):
            if name not in fused:
                continue
            part, size = 1.0, max(fused[name].elements, 1)
            if user.opcode == "dynamic-update-slice" and i == 0:
                part = 0.0
            elif user.opcode in _SLICES and i == 0:
                part = shares[user.name] * user.elements / size
            elif user.opcode in _PASSES_ON | _ELEMENTWISE and user.elements == size:
                part = shares[user.name]
            shares[name] = min(shares[name] + part, 1.0)
    return shares


@functools.cache
def module_of(op_name: str) -> str:
    """The module and primitive in an op_name; numbers in names become N.

    "jit(train_step)/transpose(jvp(NCSNpp))/down_1_block_0/norm_0/mul" becomes
    "grad NCSNpp/down_N_block_N/norm_N/mul".
    """
    parts = [p for p in op_name.split("/") if not re.fullmatch(r"(p?jit|closed_call)\(.*\)", p)]
    backward = "transpose(" in op_name
    parts = [re.sub(r"\w+\(|\)", "", p) for p in parts]
    path = "/".join(re.sub(r"\d+", "N", p) for p in parts if p)
    return ("grad " if backward else "") + (path or "other")
