"""Optuna's study of a search: its storage, its samplers and its pruner."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agentlab import errors
from agentlab.sweeps.definition import Search
from agentlab.sweeps.directory import JOURNAL

if TYPE_CHECKING:
    import optuna

SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler", "qmc": "QMCSampler"}
COUNTING = ("qmc",)  # samplers that count in the study, and keep their seed
COUNTS = ("n_ei_candidates", "n_startup_trials")  # arguments of samplers, for each of which arrays are made
MOST = 100_000
PRUNERS = {
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "successive-halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
    "threshold": "ThresholdPruner",
}


def open_study(search: Search, path: pathlib.Path) -> optuna.Study:
    """Returns the study of the sweep in a directory, a new one if its storage holds none of the directory's name.

    Raises:
        UsageError: Optuna is not installed, or the storage, the sampler or the pruner is wrong.
    """
    try:
        import optuna
    except ImportError as error:
        raise errors.UsageError("A search needs Optuna: pip install 'agentlab[search]'.") from error

    # Wrong names and arguments first, then whatever a database may raise.
    sampler, pruner = sampler_for(search, 0, ""), _part(search.pruner, PRUNERS, "pruner", optuna.pruners, {})
    try:
        return optuna.create_study(
            storage=_storage(search.storage, path),
            study_name=path.name,
            direction=search.objective.direction,
            sampler=sampler,
            pruner=optuna.pruners.NopPruner() if pruner is None else pruner,
            load_if_exists=True,
        )
    except Exception as error:  # of a database, whatever its driver raises
        raise errors.UsageError(
            f"The storage {search.storage!r} of the search can't be used: {errors.first_line(error)}. Expected the URL of a "
            "database, such as sqlite:///study.db, 'journal', or journal:FILE."
        ) from error


def sampler_for(search: Search, number: int, name: str) -> optuna.samplers.BaseSampler:
    """Returns the sampler that suggests a setting of a trial, with a seed made of the search's, the trial and the setting."""
    import optuna

    digest = hashlib.sha256(f"{search.seed}/{number}/{name}".encode()).digest()
    seed = search.seed if search.sampler["name"] in COUNTING else int.from_bytes(digest[:4], "little")
    return _part(search.sampler, SAMPLERS, "sampler", optuna.samplers, {"seed": seed})


def _part(table: dict[str, Any], classes: dict[str, str], what: str, module: Any, more: dict[str, Any]) -> Any:
    """Returns an object of Optuna's by its name in a sweep file; None for the empty name."""
    name, arguments = table["name"], {key: value for key, value in table.items() if key != "name"}
    if name == "" and not arguments:
        return None
    if name not in classes:
        raise errors.UsageError(errors.unknown(what, name, classes, "Those of a search"))
    cls = getattr(module, classes[name])
    _check_arguments(cls, arguments, f"search.{what} {name!r}")
    try:
        return cls(**{**more, **arguments})
    except (TypeError, ValueError) as error:
        raise errors.UsageError(f"Wrong argument of search.{what} {name!r}: {error}.") from error


def _check_arguments(cls: type, arguments: dict[str, Any], where: str) -> None:
    """Raises UsageError for an argument that has to be a function, or a number of candidates that no search needs."""
    parameters = inspect.signature(cls).parameters
    for name, value in arguments.items():
        if name in parameters and "Callable" in str(parameters[name].annotation):
            raise errors.UsageError(f"Argument {name!r} of {where} is a function, which a file can't hold. Leave it out.")
        if name in COUNTS and isinstance(value, int) and value > MOST:
            raise errors.UsageError(f"Argument {name!r} of {where} is {value:,}; expected at most {MOST:,}.")


def _storage(storage: str, path: pathlib.Path) -> Any:
    """Returns a storage of Optuna's: a journal in the sweep's directory or elsewhere, or the URL of a database."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    kind, colon, name = storage.partition(":")
    if kind != "journal":
        return storage
    file = pathlib.Path(name) if colon else path / JOURNAL
    if not colon:  # nobody else writes to it
        _drop_half_line(file)
    return JournalStorage(JournalFileBackend(str(file)))


def _drop_half_line(file: pathlib.Path) -> None:
    """Drops what follows the last line end of a journal, whose writer lost power: Optuna refuses such a file."""
    with contextlib.suppress(FileNotFoundError), file.open("r+b") as opened:
        content = opened.read()
        if not content.endswith(b"\n"):
            opened.truncate(content.rfind(b"\n") + 1)
            os.fsync(opened.fileno())


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Has Optuna say nothing about each trial, nor that a sampler is an experiment of its authors."""
    try:
        import optuna
    except ImportError:  # which `open_study` says
        yield
        return
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
