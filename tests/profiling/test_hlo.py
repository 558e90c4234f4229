"""The reader of HLO text, on recorded lines of compiled programs."""

from pathlib import Path

import pytest

from ddgan_jax.profiling import hlo

DATA = Path(__file__).parent / "data"
# Lines of a program for an H100: convolutions of cuDNN, a fusion that reads one row of a table, a
# loop that runs four times, and an update in place. Metadata are shortened.
GPU = (DATA / "h100.hlo").read_text()
# Lines of a program for a v5e: layouts with tiles and memory spaces, cycles, a collective.
TPU = (DATA / "v5e.hlo").read_text()


def by_kind(text):
    return {kernel.kind: kernel for kernel in hlo.kernels(hlo.parse(text))}


def test_convolutions_and_products():
    found = by_kind(GPU)
    work = 2 * 2 * 8 * 8 * 32 * 3 * 3 * 16
    features, image, kernel = 2 * 2 * 64 * 32, 2 * 2 * 64 * 16, 2 * 32 * 9 * 16
    for name in ("Forward", "BackwardInput", "BackwardFilter"):
        conv = found[f"__cudnn$conv{name}"]
        assert (conv.flops, conv.wide) == (work, False)
        assert conv.nbytes == features + image + kernel
    assert found["__cudnn$convForward"].module == "Net/block_N/conv_N/conv_general_dilated"
    product = next(k for k in hlo.kernels(hlo.parse(GPU)) if k.module.startswith("grad "))
    assert product.module == "grad Net/block_N/out/dot_general"
    assert product.flops == 2 * 32 * 8 * 16
    assert product.nbytes == 2 * 32 * 16 + 2 * 16 * 8 + 4 * 32 * 8


def test_loops_slices_and_updates_in_place():
    row, update = [k for k in hlo.kernels(hlo.parse(GPU)) if k.runs > 1]
    assert (row.runs, row.module) == (4, "while/body/Net_N/mul")
    assert row.nbytes == 4 * 64 + 4 + 4 * 64  # one row and its number, of a table of 100
    assert update.nbytes == 4 * 64 + 4 + 4 * 64


SLICES = """HloModule slices

%fused (a: f32[8,64], b: f32[8,64]) -> f32[8,4] {
  %a = f32[8,64]{1,0} parameter(0)
  %b = f32[8,64]{1,0} parameter(1)
  %sum = f32[8,64]{1,0} add(%a, %b)
  %part = f32[8,16]{1,0} slice(%sum), slice={[0:8], [0:16]}
  %square = f32[8,16]{1,0} multiply(%part, %part)
  ROOT %last = f32[8,4]{1,0} slice(%square), slice={[0:8], [0:4]}
}

ENTRY %main (x: f32[8,64], y: f32[8,64]) -> f32[8,4] {
  %x = f32[8,64]{1,0} parameter(0)
  %y = f32[8,64]{1,0} parameter(1)
  ROOT %fusion = f32[8,4]{1,0} fusion(%x, %y), kind=kLoop, calls=%fused
}
"""


def test_slices_of_sums_and_of_slices():
    (kernel,) = hlo.kernels(hlo.parse(SLICES))
    # `square` reads `part` twice, and is counted twice: 8 of 64 columns of both operands
    assert kernel.nbytes == 4 * 8 * (8 + 8 + 4)
    whole = SLICES.replace("add(%a, %b)", "custom-call(%a, %b)")
    assert hlo.kernels(hlo.parse(whole))[0].nbytes == 4 * 8 * (64 + 64 + 4)


def test_what_is_no_kernel_is_not_counted():
    assert len(hlo.kernels(hlo.parse(GPU))) == 7
    assert [k.kind for k in hlo.kernels(hlo.parse(TPU))] == ["convert", "copy-start", "all-reduce"]


def test_cycles_and_collectives():
    found = by_kind(TPU)
    assert found["convert"].cycles == 2373
    assert found["convert"].nbytes == 64 * 512 * (4 + 2)
    assert found["all-reduce"].collective and not found["convert"].collective
    assert hlo.collectives(TPU) == {"all-reduce": (1, 4 * 64 * 512)}


@pytest.mark.parametrize(
    ("dtype", "bits"), [("bf16", 16), ("f32", 32), ("pred", 8), ("u8", 8), ("f8e4m3fn", 8)]
)
def test_bits(dtype, bits):
    assert hlo.bits(dtype) == bits


def test_a_text_without_a_program():
    with pytest.raises(ValueError, match="entry"):
        hlo.parse("HloModule nothing\n")
