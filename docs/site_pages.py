"""Adds pages to the docs' site that are elsewhere in the tree: changelog, examples, benchmarks, how to contribute."""

from __future__ import annotations

import pathlib
import posixpath
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.structure.files import Files

ROOT = pathlib.Path(__file__).parent.parent
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "examples/README.md": "examples.md",
}


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages; called by mkdocs."""
    from mkdocs.structure.files import File  # which tests of the pages do without

    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=page_of(source)))
    return files


def page_of(source: str) -> str:
    """Returns a page of the tree with links as they are on the site; those to files that aren't there are plain text."""

    def on_site(match: re.Match[str]) -> str:
        text, target, anchor = match.group(1), match.group(2), match.group(3) or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in PAGES:
            return f"[{text}]({PAGES[path]}{anchor})"
        return f"[{text}]({path.removeprefix('docs/')}{anchor})" if path.startswith("docs/") else text

    return re.sub(r"\[([^\]]+)\]\(([^):#]+)(#[^)]*)?\)", on_site, (ROOT / source).read_text("utf-8"))
