"""One thread, one TensorFlow set-up for all tests; what several of them use."""

import fnmatch
import gc
import os
import signal
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # of processes that tests start as well: they go on with runs

# Programs that tests start find what others have compiled, and leave nothing in the user's cache.
if "AGENTLAB_COMPILED" not in os.environ:
    _compiled = tempfile.TemporaryDirectory(prefix="agentlab-tests-")
    os.environ["AGENTLAB_COMPILED"] = _compiled.name

import hypothesis
import numpy as np
import pytest

from agentlab.registry import plugins
from agentlab.tensors.keras_settings import import_tensorflow_alone

hypothesis.settings.register_profile("agentlab", derandomize=True, database=None, deadline=None, max_examples=40)
hypothesis.settings.load_profile("agentlab")


# Ray joins a cluster that runs on this machine, which may be that of a test in the other process, and ends with it.
_of_ray = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
os.environ["RAY_TMPDIR"] = _of_ray.name


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk():
    """Takes a third off a short run: whoever reads here finds what was written without it; only a lost machine would not.

    Whether files are synced, and in which order, is seen by tests that put a saboteur in its place.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="random faults in full numbers, as the documentation quotes them")


def pytest_collectstart():
    """Imports TensorFlow in the processes that collect, not in the one that only hands tests out to them and would be late.

    As the program does, without what wrappers of Keras's need: that takes two fifths of the time.
    """
    import_tensorflow_alone()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)


def pytest_collection_finish():
    """Spares the garbage collector what was imported; and most of its passes, which find little in what graphs are made of."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


WHOLE_PROGRAMS = ("test_readme.py", "test_examples.py", "test_plugin_new.py", "test_docs.py", "test_supervised_docs.py")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config, items):
    """Leaves out cases of products; marks those that the quick suite leaves out; puts the longest tests at the beginning.

    Those so that at the end no process waits for another's.
    """
    by_name = any("::" in argument for argument in config.args)
    items[:] = items if by_name else _without_combinations(items)
    unused = _mark_slow_cases(items)
    if unused and not by_name:
        raise pytest.UsageError(f"No case is named as a marker 'quick' says: {sorted(unused)}")
    items.sort(key=lambda item: item.path.name not in WHOLE_PROGRAMS)


def _without_combinations(items):
    """Returns the tests; of the cases of one with a marker `pairwise`, so many that every pair of values is among them."""
    products = {}
    for item in items:
        if item.get_closest_marker("pairwise"):
            products.setdefault((item.path, item.originalname), []).append(item)
    chosen = {
        id(cases[number]) for cases in products.values() for number in _pairwise([case.callspec.params for case in cases])
    }
    left_out = {id(item) for cases in products.values() for item in cases} - chosen
    return [item for item in items if id(item) not in left_out]


def _pairwise(cases):
    """Returns the numbers of those cases of a whole product in which every pair of two parameters' values occurs.

    The parameter with the fewest values follows from all others, as the last digit of a checksum does.

    Args:
        cases: of each, its parameters' values by name.
    """
    columns = {tuple(_numbered([case[name] for case in cases])) for name in cases[0]}  # names of one mark have the same
    smallest, *others = sorted(columns, key=lambda column: (max(column), column))
    assert len(others) > 1, "two parameters have no fewer cases than pairs"
    size = max(smallest) + 1
    return [number for number in range(len(cases)) if smallest[number] == sum(other[number] for other in others) % size]


def _numbered(values):
    """Returns a number for each value, the same for the same object, from 0 on in the order in which they come."""
    numbers = {}
    return [numbers.setdefault(id(value), len(numbers)) for value in values]


def _mark_slow_cases(items):
    """Marks as slow what a marker `quick(pattern, ...)` does not name; returns the patterns that name no case."""
    patterns, used = set(), set()
    for item in items:
        here = {(item.nodeid.partition("[")[0], pattern) for marker in item.iter_markers("quick") for pattern in marker.args}
        naming = {(test, pattern) for test, pattern in here if fnmatch.fnmatchcase(item.callspec.id, pattern)}
        if here and not naming:
            item.add_marker("slow")
        patterns, used = patterns | here, used | naming
    return patterns - used


@pytest.fixture(autouse=True)
def _own_plugin_files():
    """Takes back, after a test, the plugin files that it added to this process: the next one has what is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "_FROM_FILES", {})
        patch.setattr(plugins, "_FILES", {})
        yield


@pytest.fixture
def ctrl_c():
    """Presses Ctrl-C, as in a terminal: shells start what runs in the background with SIGINT ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, previous)


@pytest.fixture
def full(request):
    """Whether random faults are to be had in full numbers."""
    return request.config.getoption("--full")


@pytest.fixture(params=["eager", "graph", "xla"])
def execution(request):
    return request.param


@pytest.fixture
def compiled(execution):
    """Wraps a function so that it runs by this test's execution."""
    from agentlab.tensors import execution as executions

    return lambda function: executions.compiled(function, execution)


@pytest.fixture(scope="session")
def assert_frequencies():
    """Asserts that draws from 0 to K - 1 occur as often as `probabilities` say: Pearson's chi-squared, false once in 10**5."""

    def check(draws, probabilities):
        draws, probabilities = np.asarray(draws).ravel(), np.asarray(probabilities, np.float64)
        counts = np.bincount(draws, minlength=len(probabilities))
        assert len(counts) == len(probabilities)
        assert not counts[probabilities == 0].any()
        possible = probabilities > 0
        expected = len(draws) * probabilities[possible]
        assert expected.min() >= 5  # else the statistic is not chi-squared
        statistic = float(np.sum((counts[possible] - expected) ** 2 / expected))
        freedom = int(possible.sum()) - 1
        limit = freedom * (1 - 2 / (9 * freedom) + 4.265 * (2 / (9 * freedom)) ** 0.5) ** 3 if freedom else 1e-9
        assert statistic < limit  # the limit is Wilson and Hilferty's approximation

    return check


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A directory to install into, on this process's path and its children's."""
    where = tmp_path / "site"
    where.mkdir()
    monkeypatch.syspath_prepend(str(where))
    monkeypatch.setenv("PYTHONPATH", str(where))
    monkeypatch.chdir(tmp_path)
    known = set(sys.modules)
    yield where
    for name in set(sys.modules) - known:
        if name.startswith("stranger"):
            del sys.modules[name]
