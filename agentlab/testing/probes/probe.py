"""Observes what importing a module does to a process, from another one: `python -m agentlab.testing.probes.probe MODULE...`."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import attrs

from agentlab.testing.probes import untouched

HEAVY = ("tensorflow", "keras", "gymnasium")


@attrs.frozen
class Import:
    """The effects of importing a module.

    Attributes:
        error: the exception it raised, or "".
        printed: the first characters it wrote to standard output.
        seconds: it took.
        changed: names of global state that was different afterwards, see `untouched`.
        heavy: libraries of seconds, such as TensorFlow, that it imported.
    """

    error: str
    printed: str
    seconds: float
    changed: list[str]
    heavy: list[str]


_OBSERVED: dict[tuple[str, bool], Import] = {}


def observed(module: str, tensorflow: bool = True) -> Import:
    """Returns the effects of importing a module on a fresh process; observed once.

    Args:
        module: its full name, or the path of a single file.
        tensorflow: import agentlab's contracts, and so TensorFlow, before; without, `Import.heavy` tells who imports it.
    """
    if (module, tensorflow) not in _OBSERVED:
        observe(module, tensorflow=tensorflow)
    return _OBSERVED[module, tensorflow]


def observe(*modules: str, tensorflow: bool = True) -> None:
    """Observes the imports of several modules, one after the other, in one process."""
    # A process of its own with the same path, so that what is imported here hides nothing.
    paths = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), *sys.path]))
    environment = {**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as directory:
        report = pathlib.Path(directory) / "report.json"
        options = [f"--report={report}", *(["--tensorflow"] if tensorflow else [])]
        command = [sys.executable, "-m", "agentlab.testing.probes.probe", *options, *modules]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        observations = json.loads(report.read_text("utf-8")) if report.exists() else {}

    # What the process said last, where it ended before its report.
    lines = ended.stderr.strip().splitlines() or [""]
    lost = Import(f"the end of the process with exit code {ended.returncode}, {lines[-1]}", "", 0.0, [], [])
    for module in modules:
        _OBSERVED[module, tensorflow] = Import(**observations[module]) if module in observations else lost


def main(arguments: list[str]) -> None:
    """Imports modules one after the other and writes what each did to a file, as JSON."""
    report = next(argument.partition("=")[2] for argument in arguments if argument.startswith("--report="))
    if "--tensorflow" in arguments:
        from agentlab.tensors.keras_settings import import_tensorflow_alone

        import_tensorflow_alone()
        for name in ("agentlab.runs.composition", *HEAVY):  # what these change is not the module's doing
            importlib.import_module(name)
    imports = {name: attrs.asdict(_observe(name)) for name in arguments if not name.startswith("--")}
    pathlib.Path(report).write_text(json.dumps(imports), "utf-8")


def _observe(name: str) -> Import:
    before, begin, error = untouched.snapshot(), time.monotonic(), ""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        # Standard output as the system has it, not as Python sees it.
        stdout = os.dup(1)
        os.dup2(output.fileno(), 1)  # what native code prints counts too
        try:
            _import(name)
        except BaseException as raised:  # SystemExit and the like are what is looked for
            error = f"{type(raised).__name__}: {raised}".rstrip(": ")
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)
        output.seek(0)
        printed = output.read(200)
    changed = untouched.differences(before, untouched.snapshot())
    heavy = [library for library in HEAVY if library in sys.modules]
    return Import(error, printed, time.monotonic() - begin, changed, heavy)


def _import(name: str) -> None:
    if not name.endswith(".py"):
        importlib.import_module(name)
        return
    spec = importlib.util.spec_from_file_location("probed", name)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules["probed"] = module
    spec.loader.exec_module(module)  # type: ignore[union-attr]


if __name__ == "__main__":
    main(sys.argv[1:])
