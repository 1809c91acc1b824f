"""Processes that others start, in which agentlab runs, and those that it starts: each start method, in pools, as default."""

import concurrent.futures
import multiprocessing
import os
import pathlib
import subprocess
import sys
import warnings

import pytest

import agentlab
import preloaded
from agentlab import errors
from agentlab_envs.gymnasium.environment import GymnasiumEnvironment

METHODS = multiprocessing.get_all_start_methods()
CHANGES = {"steps": 64, "trainer": {"learning_starts": 32}, "evaluation": {"episodes": 1}, "execution": "graph"}


def job(folder, vectorization="sync"):
    environment = {"id": "CartPole-v1", "vectorization": vectorization}
    changes = {**CHANGES, "environment": environment, "num_environments": 2}
    try:
        return agentlab.run("dqn", changes=changes, run_dir=pathlib.Path(folder) / "run").result["steps"]
    except errors.UsageError as error:
        return str(error)


def in_a_process(method, folder, vectorization):
    process = multiprocessing.get_context(method).Process(target=job, args=(folder, vectorization))
    process.start()
    process.join(120)
    code = process.exitcode
    process.kill()
    return code


def in_a_pool(method, folder, vectorization):
    with multiprocessing.get_context(method).Pool(1) as pool:
        return pool.apply(job, (folder, vectorization))


def in_an_executor(method, folder, vectorization):
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(job, folder, vectorization).result(120)


def by_default(method, folder, vectorization):
    multiprocessing.set_start_method(method)
    steps = job(folder, vectorization)
    assert not multiprocessing.active_children()
    return steps


def main(way, method, folder, vectorization):
    print(globals()[way](method, folder, vectorization))


DAEMONIC = "CartPole-v1 cannot be made: this process is daemonic"
FORKING = METHODS[0]
WAYS = [  # every method by which the program's own workers start, and every kind of process it may be in
    *(("in_a_process", method, "async", "0") for method in METHODS),
    *(("by_default", method, "async", "64") for method in METHODS),
    *(("in_an_executor", method, "async", "64") for method in sorted({"spawn", FORKING})),
    ("in_a_pool", "spawn", "sync", "64"),
    ("in_a_pool", FORKING, "async", DAEMONIC),
]


@pytest.mark.slow
@pytest.mark.parametrize(("way", "method", "vectorization", "answer"), WAYS)
def test_a_run_in_a_process_of_any_start_method(tmp_path, way, method, vectorization, answer):
    """In a program of its own, since in this one TensorFlow is in use."""
    arguments = [way, method, str(tmp_path), vectorization]
    code, output, complaint = preloaded.run(pathlib.Path(__file__), tmp_path, arguments, strict=False)
    assert code == 0, complaint
    assert output.startswith(answer), output + complaint
    assert (tmp_path / "run" / "result.json").exists() is (answer != DAEMONIC)


def test_a_daemonic_process_is_told_what_to_do_and_that_works(monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    with pytest.raises(errors.UsageError, match=r"daemonic, as those of multiprocessing\.Pool are.*use vectorization 'sync'"):
        GymnasiumEnvironment("CartPole-v1", 2, "async")
    environment = GymnasiumEnvironment("CartPole-v1", 2, "sync")
    assert environment.reset(0).observation.shape == (2, 4)
    environment.close()


@pytest.mark.parametrize("function", ["make_agent", "run", "train"])
def test_a_fork_of_a_process_that_used_tensorflow_is_told_instead_of_hanging(tmp_path, function):
    if "fork" not in METHODS:
        return
    agentlab.make_agent("dqn", changes={"environment": {"name": "identity"}})  # TensorFlow is in use
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that threads and forks don't go together
        child = os.fork()
    if child == 0:
        try:
            more = {} if function == "make_agent" else {"run_dir": tmp_path / "run"}
            getattr(agentlab, function)("dqn", **more)
        except errors.UsageError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        message = answer.read().decode()
    os.waitpid(child, 0)
    assert message.startswith("This process was forked after TensorFlow had been used, so TensorFlow would hang. Start it by")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_number_of_threads_that_comes_too_late_is_a_users_mistake(tmp_path):
    """TensorFlow takes it before its first operation only: a second run in one process can't have another."""
    script = tmp_path / "script.py"
    script.write_text(
        "import tensorflow as tf\n"
        "from agentlab import errors\n"
        "from agentlab.tensors import execution\n"
        "execution.use_threads(1)\n"
        "tf.add(1, 1)\n"
        "execution.use_threads(1)\n"
        "execution.use_threads(0)\n"
        "try:\n"
        "    execution.use_threads(2)\n"
        "except errors.UsageError as error:\n"
        "    print(error)\n"
    )
    code, output, complaint = preloaded.run(script, tmp_path)
    assert code == 0, complaint
    assert output.startswith(
        "threads is 2, and TensorFlow has already started in this process with threads 1, which can't be changed. "
        "Set threads to 1"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("left", "culprits"),
    [
        ("threading.Thread(target=time.sleep, args=(600,), name='camera').start()", "the threads 'camera'"),
        ("atexit.register(time.sleep, 600)", "what an environment or plugin has left running"),
        ("concurrent.futures.ThreadPoolExecutor(2).submit(int)", ""),
        ("threading.Thread(target=time.sleep, args=(600,), daemon=True).start()", ""),
    ],
)
def test_the_program_ends_whatever_is_left_running(left, culprits):
    program = (
        "import atexit, concurrent.futures, sys, threading, time; "
        "from agentlab.program import cli, process; process.ENDING_SECONDS = 1; "
        f"{left}; sys.argv[1:] = ['run']; print('before', flush=True); code = cli.main(); print('after'); sys.exit(code)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "before\nafter\n")
    assert (f"Python does not end for {culprits}, 1 seconds after" in ended.stderr) is bool(culprits)
    assert ended.stderr.count("\n") == 1 + bool(culprits)


@pytest.mark.slow
def test_a_program_that_calls_main_itself_is_not_ended():
    program = (
        "import sys, threading, time; from agentlab.program import cli, process; "
        "process.ENDING_SECONDS = 0.1; cli.main(['run']); "
        "threading.Thread(target=lambda: (time.sleep(1.5), print('whole'))).start()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "whole\n")
