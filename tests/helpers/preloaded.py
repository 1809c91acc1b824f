"""Runs scripts, each in a process of its own, forked from one that has imported TensorFlow but not used it.

An import takes longer than most of the scripts. `run(script, directory)` starts that process at its first call.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import pathlib
import runpy
import subprocess
import sys
import traceback
import warnings
from collections.abc import Sequence

from agentlab.tensors import keras_settings


def run(
    script: pathlib.Path, directory: pathlib.Path, arguments: Sequence[str] = (), *, strict: bool = True
) -> tuple[int, str, str]:
    """Runs a script in a directory; returns (exit code, standard output, standard error).

    It has the environment variables that this process had at the first call. Warnings are errors if it is to be `strict`.
    """
    server = _server()
    request = {"arguments": [str(script), *arguments], "directory": str(directory), "strict": strict}
    print(json.dumps(request), file=server.stdin, flush=True)
    code = int(server.stdout.readline())
    return code, (directory / "stdout.txt").read_text("utf-8"), (directory / "stderr.txt").read_text("utf-8")


@functools.cache
def _server() -> subprocess.Popen:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "NO_COLOR": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    server = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen) -> None:
    server.stdin.close()
    server.wait()
    server.stdout.close()


def _serve() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keras_settings.import_tensorflow_alone()
        from agentlab.runs import resuming  # noqa: F401 - what most of the scripts import

    for line in sys.stdin:
        request = json.loads(line)
        number = os.fork()
        if number == 0:
            os._exit(_child(**request))
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)


def _child(arguments: list[str], directory: str, strict: bool) -> int:
    # Standard streams of its own, as the system has them.
    os.chdir(directory)
    files = [os.open(os.devnull, os.O_RDONLY)]
    files += [os.open(f"{name}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in ("stdout", "stderr")]
    for number, file in enumerate(files):
        os.dup2(file, number)

    # As `python script` or `python -W error script` would run it.
    if strict:
        warnings.simplefilter("error")
    sys.argv, sys.path[0] = arguments, str(pathlib.Path(arguments[0]).parent)
    try:
        runpy.run_path(arguments[0], run_name="__main__")
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve()
