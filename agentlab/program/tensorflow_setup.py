"""Imports TensorFlow for the command line program: set up for a task, without its messages on standard error."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agentlab import errors
from agentlab.checks import limits
from agentlab.system import machine, terminal
from agentlab.system.processes import compiled_programs
from agentlab.tensors.keras_settings import import_tensorflow_alone, importing_keras

if TYPE_CHECKING:
    from agentlab.task import Task


def import_runs(task: Task | None = None) -> None:
    """Imports what runs tasks, and so TensorFlow, with the kernels and threads that a task wants."""
    if task is not None:
        os.environ.setdefault(machine.ONEDNN, str(int(task.onednn)))
    compiled_programs.keep(0 if task is None else task.threads)
    if os.path.expanduser("~") == "~":  # noqa: PTH111 - there is no home, for which pathlib raises
        os.environ.setdefault("KERAS_HOME", os.path.join(os.devnull, "keras"))  # noqa: PTH118 - else it makes one named "~" here
    with terminal.show_status("importing TensorFlow"), quietly():
        from agentlab.runs import resuming  # noqa: F401 - and with it the rest
        from agentlab.tensors import execution
    if task is not None:
        execution.use_threads(task.threads)


def import_runs_for(directory: str) -> None:
    """As `import_runs`, as a run's task wants it; errors in the run's files are reported when they are read."""
    from agentlab.configuration import read_run_config

    limits.check_path(directory)
    config = pathlib.Path(directory) / "config.json"
    import_runs(read_run_config(config, trust=True)[0] if config.is_file() else None)  # for its threads and kernels only


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keeps back what TensorFlow's native code says on standard error whatever the log level, unless an import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.suppress(OSError, ValueError):  # nobody may be reading any more
        sys.stderr.flush()
    saved = os.dup(2)
    with _scratch() as greetings:
        os.dup2(greetings.fileno(), 2)
        try:
            with importing_keras():
                import_tensorflow_alone()
                yield
        except errors.AgentlabError:
            raise
        except BaseException:
            greetings.seek(0)
            os.write(saved, greetings.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _scratch() -> Any:
    """Returns a file that lasts until it is closed: in memory where there is no directory for such files."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.memfd_create("greetings"), "w+b") if hasattr(os, "memfd_create") else open(os.devnull, "w+b")  # noqa: PTH123
