"""Observes what importing a module does to a process, from another one."""

from __future__ import annotations

import atexit
import functools
import importlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import attrs

from agentlab.testing.probes import untouched

NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC  # of a file to write
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
    # Forked from a process that has imported no module, and with the surroundings of this one.
    with tempfile.TemporaryDirectory() as directory:
        report, complaint = pathlib.Path(directory) / "report.json", pathlib.Path(directory) / "stderr.txt"
        surroundings = {"directory": os.getcwd(), "path": sys.path, "environment": dict(os.environ)}  # noqa: PTH109 - as it is
        files = {"report": str(report), "stderr": str(complaint)}
        code = _observer(tensorflow).ask({"modules": modules, **surroundings, **files})
        observations = json.loads(report.read_text("utf-8")) if report.exists() else {}
        lines = complaint.read_text("utf-8", "replace").strip().splitlines() or [""]

    # What the process said last, where it ended before its report.
    lost = Import(f"the end of the process with exit code {code}, {lines[-1]}", "", 0.0, [], [])
    for module in modules:
        _OBSERVED[module, tensorflow] = Import(**observations[module]) if module in observations else lost


class _Observer:
    """A process that forks another for each request to observe imports: TensorFlow is imported there once.

    Args:
        tensorflow: whether it imports agentlab's contracts beforehand, and so TensorFlow.
    """

    def __init__(self, tensorflow: bool) -> None:
        paths = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), *sys.path]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *(["--tensorflow"] if tensorflow else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        atexit.register(self._close)

    def ask(self, request: dict[str, Any]) -> int:
        """Returns the exit code of the process that answered a request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def _close(self) -> None:
        with self._process:
            pass  # an observer ends where its requests end


@functools.cache
def _observer(tensorflow: bool) -> _Observer:
    return _Observer(tensorflow)


def main(arguments: list[str]) -> None:
    """Answers requests from standard input, a line of JSON each, with the exit code of the process that answered it."""
    if "--tensorflow" in arguments:
        from agentlab.tensors.keras_settings import import_tensorflow_alone

        import_tensorflow_alone()
        for name in ("agentlab.runs.composition", *HEAVY):  # what these change is not the module's doing
            importlib.import_module(name)
    for line in sys.stdin:
        number = os.fork()
        if number == 0:
            _answer(json.loads(line))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)


def _answer(request: dict[str, Any]) -> None:
    """Imports modules one after the other, and writes what each did to a file, as JSON."""
    # Standard streams of its own, and the surroundings of the process that asks.
    for number, (name, flags) in enumerate([(os.devnull, os.O_RDONLY), (os.devnull, os.O_WRONLY), (request["stderr"], NEW)]):
        os.dup2(os.open(name, flags), number)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[:] = request["path"]
    imports = {name: attrs.asdict(_observe(name)) for name in request["modules"]}
    pathlib.Path(request["report"]).write_text(json.dumps(imports), "utf-8")


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
