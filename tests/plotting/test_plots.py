"""Image grids: positions, borders, value ranges; the legend of curves."""

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ddgan_jax.core.images import to_uint8
from ddgan_jax.plotting import curves
from ddgan_jax.plotting import grids as plots


def test_grid_puts_every_image_in_its_place_with_a_border_between():
    images = np.linspace(-1, 1, 6, dtype=np.float32)[:, None, None, None] * np.ones((6, 8, 8, 1))
    grid = plots.image_grid(images.astype(np.float32), columns=3)
    scale, gap = 8, 4
    assert grid.dtype == np.uint8
    assert grid.shape == (2 * (8 * scale + gap) + gap, 3 * (8 * scale + gap) + gap, 3)
    values = to_uint8(np.linspace(-1, 1, 6))
    for i in range(6):
        top, left = gap + i // 3 * (64 + gap), gap + i % 3 * (64 + gap)
        assert (grid[top : top + 64, left : left + 64] == values[i]).all()
    assert (grid[:gap] == plots.BORDER).all() and (grid[:, :gap] == plots.BORDER).all()
    assert (grid[gap + 64 : 2 * gap + 64] == plots.BORDER).all()


def test_grid_keeps_color_and_large_images_as_they_are():
    images = np.zeros((2, 64, 64, 3), np.float32)
    images[..., 0] = 1
    grid = plots.image_grid(images, columns=2)
    assert grid.shape == (68, 2 * 66 + 2, 3)
    assert tuple(grid[10, 10]) == (255, 128, 128)


def test_values_outside_the_range_are_clipped():
    assert to_uint8(np.array([-3.0, -1, 0, 1, 7])).tolist() == [0, 0, 128, 255, 255]


def test_scatter_darkens_where_points_are():
    picture = plots.scatter(np.array([[1.0, 1.0]] * 50, np.float32))
    dark = np.argwhere(picture.sum(axis=-1) < 600)
    assert len(dark) and (picture[0, 0] == 255).all()
    assert dark[:, 0].max() < 320 < dark[:, 1].min()  # up and to the right


def test_picture_chooses_by_rank():
    assert plots.picture(np.zeros((4, 8, 8, 1), np.float32)).shape == (140, 140, 3)
    assert plots.picture(np.zeros((4, 2), np.float32)).shape == (640, 640, 3)


def test_curves_have_one_legend_for_all_panels(tmp_path, monkeypatch):
    """Below the panels, with every run that has a curve; one run needs none."""
    shown = []
    original = Figure.savefig

    def saved(figure, *args, **kwargs):
        shown.append([text.get_text() for legend in figure.legends for text in legend.get_texts()])
        original(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", saved)
    lines = [{"step": s, "images": s, "seconds": s, "fid": 1 / s, "kid": s} for s in (1, 2)]
    sizes = {}
    for names in (("one",), ("one", "_two"), tuple(f"run {i} {'x' * 50}" for i in range(9))):
        curves.draw(tmp_path / "a.png", dict.fromkeys(names, lines), "images")
        with Image.open(tmp_path / "a.png") as picture:
            sizes[len(names)] = picture.size
    assert shown[0] == [] and shown[1] == ["one", "_two"] and len(shown[2]) == 9
    assert sizes[1][1] < sizes[2][1] < sizes[9][1] and sizes[1][0] == sizes[9][0]
