"""Packages of strangers, as pip would have installed them, and the program run beside them."""

import os
import subprocess
import sys

from agentlab.registry import packages


def distribution(path, package, modules, version="1.2", **groups):
    """Writes a distribution's files: its modules, and what pip would leave of its metadata; `api` is agentlab's by default."""
    if groups:
        groups = {"api": [f"{packages.API} = {package}"], **groups}
    for name, text in modules.items():
        file = path / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    info = path / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    if groups:  # it offers something
        groups = {"api": [f"{packages.API} = {package}"], **groups}
    sections = [f"[agentlab.{kind}]\n" + "\n".join(lines) for kind, lines in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(sections) + "\n")


def program(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "agentlab", *arguments],
        capture_output=True, text=True, timeout=120, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
