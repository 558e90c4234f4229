"""The HTML of the page that compares runs: one file, which fetches nothing.

Samples come first, then tables, curves and protocols. A table or figure that is wider than the
window scrolls inside its own box; the page never does.
"""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddgan_jax.core.errors import UserError
from ddgan_jax.evaluation.ranking import Cells, Table
from ddgan_jax.io.storage import open_regular

LARGEST_PICTURE = 2**25  # bytes

STYLE = """
:root { color-scheme: light }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 1400px;
       padding: 0 1rem; color: #1d2129; background: #fff; overflow-wrap: anywhere }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.25rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px }
th, td { padding: .35rem .6rem; border-bottom: 1px solid #dde1e6; text-align: right;
         overflow-wrap: normal }
th { vertical-align: bottom; font-weight: 600; color: #3c4450 }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff;
         max-width: 11rem; overflow-wrap: break-word; padding-left: 0 }
.words { text-align: left }
td.best { font-weight: 700; background: #e3f3e6 }
.wide { overflow-x: auto; padding-bottom: .4rem; margin-bottom: 1rem }
.wide:focus-visible { outline: 2px solid #3567b0 }
.grids { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(15rem, 45%), 1fr));
         gap: 1.2rem }
figure { margin: 0 }
.grids img { width: 100%; image-rendering: pixelated }
figcaption { font-weight: 600; margin-bottom: .3rem }
.wide img { display: block; width: 100% }
.note { color: #55606e; font-size: 14px; margin: .2rem 0 .6rem }
.warning { background: #fff3cd; padding: .5rem 1rem }
pre { white-space: pre-wrap; font-size: 12px }
summary { cursor: pointer }
"""


def picture_of(path: Path) -> bytes:
    """The content of a PNG file.

    Raises:
      UserError: not a regular file, not a PNG, or larger than 32 MiB.
    """
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST_PICTURE)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if not content.startswith(b"\x89PNG\r\n\x1a\n") or len(content) == LARGEST_PICTURE:
        raise UserError(f"{path} cannot be read: a PNG file of at most 32 MiB is needed")
    return content


def html_page(
    grids: Mapping[str, Path],
    tables: Mapping[str, tuple[Table, Cells]],
    warnings: Sequence[str],
    figures: Mapping[str, Path],
    protocols: Mapping[str, Any],
) -> str:
    """The page.

    Args:
      grids: name of the run -> PNG of its samples.
      tables: heading -> table, and the cells with the best values.
      warnings: lines about what does not compare.
      figures: caption -> PNG.
      protocols: name of the run -> the protocol of its evaluation.

    Raises:
      UserError: see `picture_of`.
    """
    body = ["<h1>Comparison</h1>"]
    body += [f'<p class="warning">{html.escape(text)}</p>' for text in warnings]
    if grids:
        body += ["<h2>Samples</h2>", '<div class="grids">']
        body += [
            f"<figure><figcaption>{html.escape(name)}</figcaption>"
            f"{_image(path, f'samples of {name}')}</figure>"
            for name, path in grids.items()
        ]
        body.append("</div>")
    if any(best for _, best in tables.values()):
        body.append('<p class="note">The best value of a column is in bold on green.</p>')
    for heading, (table, best) in tables.items():
        body.append(f"<h2>{html.escape(heading)}</h2>")
        body.append(_box(_table(table, best), heading))
    for caption, path in figures.items():
        shown = _image(path, caption, least_width(path))
        body += [f"<h2>{html.escape(caption)}</h2>", _box(shown, caption)]
    body.append("<h2>Protocol</h2>")
    for name, protocol in protocols.items():
        text = html.escape(json.dumps(protocol, indent=1))
        body.append(f"<details><summary>{html.escape(name)}</summary><pre>{text}</pre></details>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Comparison</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def least_width(path: Path) -> tuple[int, int]:
    """(least, largest) width in CSS pixels at which a figure is shown: legible, not enlarged."""
    width = int.from_bytes(picture_of(path)[16:20], "big")  # in the first chunk of a PNG
    return min(width, round(0.62 * width)), width


def _image(path: Path, about: str, widths: tuple[int, int] | None = None) -> str:
    data = base64.b64encode(picture_of(path)).decode()
    size = f' style="min-width: {widths[0]}px; max-width: {widths[1]}px"' if widths else ""
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(about)}"{size}>'


def _box(content: str, about: str) -> str:
    """A box that scrolls sideways, also by the keyboard."""
    name = html.escape(about)
    return f'<div class="wide" tabindex="0" role="region" aria-label="{name}">{content}</div>'


def _table(table: Table, best: Cells) -> str:
    columns = list(zip(*table[1:], strict=True))
    words = [not any(cell[:1].isdigit() or cell[:1] == "-" for cell in each) for each in columns]
    rows = []
    for i, row in enumerate(table):
        tag, cells = "td" if i else "th", []
        for j, cell in enumerate(row):
            kind = "best" if (i, j) in best else "words" if words[j] else ""
            mark = f' class="{kind}"' if kind else ""
            cells.append(f"<{tag}{mark}>{html.escape(cell)}</{tag}>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><thead>{rows[0]}</thead><tbody>{''.join(rows[1:])}</tbody></table>"
