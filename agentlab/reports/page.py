"""A comparison as one HTML page: the table and the pictures, with nothing fetched from anywhere."""

from __future__ import annotations

import html
import itertools
import re

from agentlab.reports.comparison import Comparison, Row
from agentlab.reports.figures import Picture
from agentlab.reports.tables import cells, number

STYLE = """
:root { color-scheme: light dark; --ink: #1c1f23; --paper: #ffffff; --line: #d5d9de; --soft: #f4f6f8; --bar: #4c78a8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --paper: #16181b; --line: #3a3f45; --soft: #1f2226; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem; max-width: 70rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; min-width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { background: var(--soft); } th.name, td.name { text-align: left; }
figure { margin: 0.5rem 0; padding: 0.5rem 0.8rem; color: #1c1f23; background: #ffffff;
  border: 1px solid var(--line); border-radius: 6px; }
figure h2 { margin: 0.5rem 0; }
figure svg { display: block; width: 100%; height: auto; }
figure img { display: block; max-width: 100%; height: auto; }
figure pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85rem; }
figcaption { color: #444; font-size: 0.85rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
@media print { body { max-width: none; } figure { break-inside: avoid; } }
"""


def page(comparison: Comparison, pictures: list[Picture], title: str) -> str:
    """Returns the page.

    Args:
        comparison: of runs.
        pictures: of it.
        title: of the page.
    """
    direction = "lower is better" if comparison.lower_is_better else "higher is better"
    runs = sum(len(row.runs) for row in comparison.rows)
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{runs} runs in {len(comparison.rows)} groups. <code>{html.escape(comparison.score)}</code>: {direction}. "
        "IQM is the interquartile mean over runs; its interval is the 95 % percentile bootstrap.</p>",
        f'<div class="scroll">{_table(comparison)}</div>',
        f'<div class="pictures">{"".join(map(_figure, pictures, itertools.count()))}</div>',
        _list("Not finished", comparison.unfinished),
        _list("Left out", comparison.left_out),
        _runs(comparison),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _table(comparison: Comparison) -> str:
    names = comparison.setting_names
    head = [("task", True), *((name, True) for name in names), ("n", False), ("IQM", False), ("95 % interval", False)]
    head += [(name, False) for name in ("mean", "median", "best", "seconds")]
    return _rows([head], "th") + "".join(_rows([_cells(row, names)], "td") for row in comparison.rows) + "</tbody></table>"


def _cells(row: Row, names: list[str]) -> list[tuple[str, bool]]:
    """Returns the text of each cell, and whether it names something."""
    return [(text, place <= len(names)) for place, text in enumerate(cells(row, names))]


def _rows(rows: list[list[tuple[str, bool]]], tag: str) -> str:
    begin, end = ("<table><thead>", "</thead><tbody>") if tag == "th" else ("", "")
    written = []
    for row in rows:
        cells = [f"<{tag}{' class=name' if is_name else ''}>{html.escape(text)}</{tag}>" for text, is_name in row]
        written.append(f"<tr>{''.join(cells)}</tr>")
    return begin + "".join(written) + end


def _figure(picture: Picture, index: int) -> str:
    """Returns a picture with a name for those who can't see it; the ids in a drawing are its own among all of the page."""
    label = html.escape(f"{picture.title}. {picture.description}", quote=True)
    content = picture.content
    if content.startswith("<svg"):
        content = re.sub(r'((?:\bid="|href="#|url\(#))', rf"\1p{index}-", content)
        content = content.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    elif content.startswith("<img"):
        content = content.replace("<img", f'<img alt="{label}"', 1)
    title, caption = html.escape(picture.title), html.escape(picture.description)
    return f"<figure><h2>{title}</h2>{content}<figcaption>{caption}</figcaption></figure>"


def _list(title: str, runs: dict[str, str]) -> str:
    """Returns a list of runs with the reason why each is in no group; nothing without one."""
    items = "".join(f"<li><code>{html.escape(name)}</code>: {html.escape(why)}</li>" for name, why in runs.items())
    return f"<h2>{title}</h2><ul>{items}</ul>" if runs else ""


def _runs(comparison: Comparison) -> str:
    """Returns the scores of all runs, folded."""
    scores = [(run, score) for row in comparison.rows for run, score in zip(row.runs, row.scores, strict=True)]
    head = _rows([[("run", True), ("seed", False), ("score", False)]], "th")
    body = "".join(
        _rows([[(str(run.directory), True), (str(run.seed), False), (number(score), False)]], "td") for run, score in scores
    )
    return f'<details><summary>All runs</summary><div class="scroll">{head}{body}</tbody></table></div></details>'
