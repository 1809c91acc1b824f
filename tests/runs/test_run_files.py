"""A run's files: written in its own directory only, where a kill left off, and so that they can be read back."""

import errno
import hashlib
import json
import os
import pathlib
import shutil
import signal

import numpy as np
import pytest

import agentlab
from agentlab import configuration, errors
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.runs.checkpoints import Checkpoints
from agentlab.runs.checkpoints.cutting import CutArray
from agentlab.runs.files import run_config
from agentlab.runs.files.provenance import SessionRecord
from agentlab.runs.files.run_directory import RunDirectory
from agentlab.runs.trackers.event_file import TensorBoard
from agentlab.runs.trackers.metrics_file import MetricsFile
from agentlab.spec import EnvironmentSpec
from agentlab.system import arrays, files
from agentlab.system.arrays import ArrayFile
from agentlab.system.folder import Folder
from agentlab.tracker import TrackedRun
from agentlab_envs.control.cartpole import CartPole
from agentlab_envs.gymnasium.environment import GymnasiumEnvironment

REGRESSION = {"steps": 40, "report_period": 20, "checkpoint_period": 10}
ON_THE_HOST = {
    "environment": {"name": "gymnasium", "id": "CartPole-v1"},
    "model": {"hidden_units": [4]},
    "memory": {"capacity": 64, "batch_size": 8},
    "num_environments": 2,
    "steps": 60,
    "evaluation": {"episodes": 1},
    "execution": "graph",
}


@pytest.fixture(autouse=True)
def _no_hanging():
    """Ends a test that waits for whoever would open the other end of a pipe."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(120)
    yield
    signal.alarm(0)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return agentlab.run("linear-regression", 0, REGRESSION, run_dir=tmp_path_factory.mktemp("original") / "run").directory


@pytest.fixture
def run(original, tmp_path):
    return pathlib.Path(shutil.copytree(original, tmp_path / "run"))


def contents(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


# ---- no link is followed --------------------------------------------------------------------------------------------------

PLACES = (
    ".config.json", "config.json", ".result.json", "result.json", ".metrics.jsonl", "metrics.jsonl", ".lock", "events",
    ".provenance.json", "provenance.json",
    "checkpoints", "checkpoints/step-40", "checkpoints/step-40/manifest.json", "checkpoints/step-40/agent.safetensors",
    "checkpoints/step-30", "checkpoints/.saving-0", "checkpoints/.removing-0", "checkpoints/step-50", "checkpoints/step-60",
    "checkpoints/blocks", "checkpoints/blocks/.saving", f"checkpoints/blocks/{hashlib.sha256(bytes(32)).hexdigest()}",
)  # fmt: skip
WAYS = {
    "link": lambda path, target: path.symlink_to(target),
    "link to nothing": lambda path, target: path.symlink_to(target.parent / "nothing"),
    "hard link": lambda path, target: os.link(target, path),
    "pipe": lambda path, target: os.mkfifo(path),
    "directory": lambda path, target: path.mkdir(),
}


def write_everything(run):
    """Writes and removes all that going on with a run does."""
    directory = RunDirectory.open(run)
    try:
        directory.write_config(b"{}\n")
        directory.checkpoints.sweep()
        for tracker, state in ((MetricsFile(directory), {"bytes": directory.metrics_bytes}), (TensorBoard(directory), {})):
            tracker.begin(TrackedRun({}, run, 50, 40, state))
            tracker.line({"step": 50, "loss": 0.5})
            tracker.end(None)
        facts = {"metrics_bytes": 0, "best": None, "exact": True}
        for step in (40, 50):
            ring = CutArray(np.dtype("int8"), (40,), [np.zeros(32, np.uint8), np.ones(8, np.uint8)], 32)
            directory.checkpoints.save(step, {"agent": {"x": np.ones(3)}, "memory": {"ring": ring}}, facts)
        directory.checkpoints.prune([50])
        directory.write_result({"steps": 50})
        with SessionRecord(directory) as record:
            record.begin(0.0)
    finally:
        directory.close()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS)
def test_whatever_is_in_a_files_place_nothing_is_written_elsewhere(original, tmp_path, place, way):
    outside, run = (pathlib.Path(shutil.copytree(original, tmp_path / name)) for name in ("outside", "run"))
    before = contents(outside)
    path, target = run / place, outside / place if (outside / place).exists() else outside / "config.json"
    path.parent.mkdir(exist_ok=True)
    if way == "hard link" and target.is_dir():
        target = outside / "config.json"
    Folder.open(path.parent).remove(path.name)
    WAYS[way](path, target)
    try:
        write_everything(run)
    except errors.AgentlabError as error:
        assert "\n" not in str(error)  # noqa: PT017
        assert f"{run}" in str(error)  # noqa: PT017
    assert contents(outside) == before
    assert not (outside / "nothing").exists()


def test_a_run_with_links_in_its_directory_goes_on_without_writing_through_them(run, tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    for name in (".config.json", ".result.json", ".metrics.jsonl"):
        (run / name).symlink_to(tmp_path / "mine")
    os.mkfifo(run / "checkpoints" / ".saving-0")
    assert agentlab.resume(run, steps=60).result["steps"] == 60
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert not any(path.name.startswith((".saving", ".c", ".r", ".m")) for path in run.rglob("*"))


def test_the_checkpoints_of_another_run_are_neither_removed_nor_read(run, tmp_path):
    other = pathlib.Path(shutil.copytree(run, tmp_path / "other"))
    before = contents(other)
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").symlink_to(other / "checkpoints")
    for use in (lambda: agentlab.resume(run, steps=60), lambda: agentlab.load(run), lambda: agentlab.load(run, 40)):
        with pytest.raises(errors.UsageError, match="checkpoints is a symbolic link, which is not followed"):
            use()
    assert contents(other) == before


@pytest.mark.slow
def test_a_directory_that_the_user_names_by_a_link_is_used(run, tmp_path):
    (tmp_path / "latest").symlink_to(run)
    assert agentlab.load(tmp_path / "latest").act(np.zeros(3)).shape == (1,)
    assert agentlab.resume(tmp_path / "latest", steps=50).result["steps"] == 50


@pytest.mark.parametrize("name", ["/tmp/x", "../../x", "..", ".", "", "a/b", "a\\b", "nul\0", "line\nbreak", "x" * 300])
def test_a_tasks_name_is_a_name(run, tmp_path, monkeypatch, name):
    config = json.loads((run / "config.json").read_text())
    config["task"]["name"] = name
    (run / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    for use in (
        lambda: agentlab.load(run),
        lambda: agentlab.resume(run),
        lambda: configuration.read_config(str(run / "config.json")),
    ):
        with pytest.raises(
            errors.UsageError, match=r"name is .*(expected one that a directory can have|holds a zero character)"
        ):
            use()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


# ---- beginning, moving ----------------------------------------------------------------------------------------------------

LEFT = {
    "nothing": {},
    "a lock": {".lock": b"1 host\n"},
    "half a config": {".lock": b"", ".config.json": b'{"ta', "metrics.jsonl": b""},
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.slow
def test_a_directory_whose_process_was_killed_before_its_config_is_taken(tmp_path, monkeypatch, left, named):
    monkeypatch.chdir(tmp_path)
    directory = pathlib.Path("runs/linear-regression/0-1")
    directory.mkdir(parents=True)
    for name, data in left.items():
        (directory / name).write_bytes(data)
    sentence = "holds no config.json; its process was killed before it wrote one: 'agentlab run' takes it"
    with pytest.raises(errors.UsageError, match=sentence):
        agentlab.resume(directory)
    run = agentlab.run("linear-regression", 0, REGRESSION, run_dir=directory if named else None)
    assert run.directory == directory
    assert {path.name for path in directory.iterdir()} <= {
        ".lock", "config.json", "metrics.jsonl", "result.json", "events", "checkpoints", "provenance.json"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["notes.txt", "config.json", "metrics.jsonl", "checkpoints"])
def test_a_directory_that_holds_anything_else_is_left_alone(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).write_bytes(b"mine")
    with pytest.raises(errors.UsageError, match="exists; runs are never overwritten"):
        RunDirectory.create(tmp_path / "run", "task", 0, b"{}\n")
    assert contents(tmp_path) == {pathlib.Path("run", name): b"mine"}


@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path.parent), lambda path: path.write_bytes(b"")])
def test_a_new_directory_is_no_link_and_no_file(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("runs/task").mkdir(parents=True)
    make(pathlib.Path("runs/task/0-1"))
    with pytest.raises(errors.UsageError, match="exists"):
        RunDirectory.create("runs/task/0-1", "task", 0, b"{}\n")
    directory = RunDirectory.create(None, "task", 0, b"{}\n")
    assert directory.path == pathlib.Path("runs/task/0-2")
    directory.close()


def test_where_a_new_directory_cannot_be_written_nothing_is_left(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        with pytest.raises(errors.WriteFault, match="No space left"):
            RunDirectory.create(tmp_path / "run", "task", 0, b"{}\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_whose_directory_was_moved_stays_in_it(tmp_path):
    """Another run that is begun in its place keeps its own files."""
    place, moved = tmp_path / "run", tmp_path / "moved"
    training = agentlab.train("linear-regression", 0, REGRESSION, run_dir=place)
    next(training)
    place.rename(moved)
    other = agentlab.run("linear-regression", 7, {**REGRESSION, "steps": 20}, run_dir=place)
    before = contents(place)
    for _ in training:
        pass
    assert contents(place) == before
    assert other.directory == place
    assert training.run.directory == moved
    assert [json.loads(line)["step"] for line in (moved / "metrics.jsonl").read_text().splitlines()] == [20, 40]
    assert agentlab.load(moved).learner.steps.numpy() == 40


@pytest.mark.slow
def test_a_run_whose_checkpoint_is_unfit_says_how_to_go_on(run):
    checkpoints = run / "checkpoints"
    rewrite(checkpoints / "step-40" / "loop.safetensors", {})
    with pytest.raises(errors.UsageError, match=r"does not fit .* remove the checkpoint to resume from the one before it\.$"):
        agentlab.resume(run, steps=60)
    shutil.rmtree(checkpoints / "step-40")
    assert agentlab.resume(run, steps=60).result["steps"] == 60


# ---- what was verified is what is read ------------------------------------------------------------------------------------


def rewrite(file, held):
    """Writes an array file anew and has its manifest say so, as whoever sends a checkpoint could."""
    with file.open("wb") as opened:
        size, digest = arrays.write(opened, held)
    manifest = json.loads((file.parent / "manifest.json").read_text())
    manifest["files"][file.name] = {"bytes": size, "sha256": digest}
    (file.parent / "manifest.json").write_text(json.dumps(manifest))


CHANGES = {
    "replaced": lambda file: (file.rename(file.with_name("old")), file.write_bytes(b"other" * 100)),
    "removed": lambda file: file.unlink(),
    "overwritten": lambda file: file.open("r+b").write(b"\0" * 400),
    "shortened": lambda file: os.truncate(file, 100),
    "emptied": lambda file: os.truncate(file, 0),
    "lengthened": lambda file: os.truncate(file, 10**6),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("block", [16, 2**24])
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_file_that_is_changed_after_it_was_verified_is_not_read(tmp_path, monkeypatch, change, block):
    monkeypatch.setattr(files, "BLOCK", block)
    held = {"weights": np.arange(90.0), "step": np.array(3)}
    with (tmp_path / "file").open("wb") as opened:
        arrays.write(opened, held)
    file = ArrayFile.open(tmp_path / "file")
    monkeypatch.setattr(file._bytes, "_held", (-1, b""))  # of a large file, the block that was read last is another
    CHANGES[change](tmp_path / "file")
    try:
        contents = file.read_all()
    except files.UnreadableError as error:
        assert "changed while it was read" in str(error)  # noqa: PT017
    else:
        assert {name: array.tolist() for name, array in contents.items()} == {name: x.tolist() for name, x in held.items()}


def test_an_agent_of_a_sparse_checkpoint_is_refused_before_it_takes_memory(run, monkeypatch):
    file = run / "checkpoints" / "step-40" / "agent.safetensors"
    head = arrays.header({"model/000": np.broadcast_to(np.float32(0), (2**24, 1))})
    file.write_bytes(head)
    os.truncate(file, len(head) + 2**26)
    entry = {"bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    manifest = json.loads((file.parent / "manifest.json").read_text())
    manifest["files"][file.name] = entry
    (file.parent / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(agentlab.Agent, "__init__", lambda *_: pytest.fail("built"))
    with pytest.raises(errors.UsageError, match=r"does not fit the run's config.json: agent.safetensors"):
        agentlab.load(run)


def test_thousands_of_bad_checkpoints_are_looked_at_once_each(run, monkeypatch):
    for number in range(1_000, 1_400):
        (run / "checkpoints" / f"step-{number}").mkdir()
    listings, right = [], Checkpoints.steps
    monkeypatch.setattr(Checkpoints, "steps", lambda self: listings.append(0) or right(self))
    with pytest.warns(errors.RunWarning, match=r"step-1399: .*; and 395 more\. Using step-40") as caught:
        agentlab.load(run)
    assert len(caught) == 1
    assert len(str(caught[0].message)) < 1_000
    assert len(listings) == 1


def test_names_that_are_no_steps_are_left_alone(run):
    for name in ("step-007", "step-" + "9" * 200, "step-x", "step-", "step--1", "step-²"):
        (run / "checkpoints" / name).mkdir()
    assert Checkpoints(run / "checkpoints").steps() == [20, 30, 40]
    assert agentlab.load(run) is not None


# ---- an environment's state, as whoever sends a checkpoint could have it --------------------------------------------------


def mutations(held):
    """Yields what can be wrong with named arrays, by a description."""
    for name, array in held.items():
        yield f"{name} missing", {other: x for other, x in held.items() if other != name}
        yield f"{name} without axes", {**held, name: np.zeros((), array.dtype) if array.ndim else array.reshape(1)}
        yield f"{name} with one axis more", {**held, name: array[None, None]}
        yield f"{name} of another dtype", {**held, name: array.astype("float64" if array.dtype != np.float64 else "int8")}
        if array.ndim:
            yield (
                f"{name} without rows",
                {**held, name: array[:0]} if array.size else {**held, name: np.ones((3, *array.shape[1:]))},
            )
    yield "another name", {**held, "other": np.zeros(1)}
    if "lengths" not in held:
        return
    big, least = np.iinfo(np.int64).max, np.iinfo(np.int64).min
    for lengths in ([big, 1], [2**62, 2**62], [least, least], [-1, 1], [2**40, 2**40]):
        yield f"lengths {lengths}", {**held, "lengths": np.array(lengths)}
    yield "a negative seed", {**held, "seed": np.array(-5)}
    yield "a negative episode", {**held, "episodes": np.array([-1, 0])}
    yield "lengths whose sum wraps to nothing", {**held, "lengths": np.array([least, least]), "actions": held["actions"][:0]}


HOSTS = {
    "same step": lambda: GymnasiumEnvironment("CartPole-v1", 2),
    "next step": lambda: GymnasiumEnvironment("CartPole-v1", 2, autoreset="next_step"),
    "Box actions": lambda: GymnasiumEnvironment("MountainCarContinuous-v0", 2),
    "hosted": lambda: HostedEnvironment(CartPole(), 2),
}


def played(environment, steps):
    environment.reset(3)
    for _ in range(steps):
        environment.step(np.zeros((2, *environment.spec.action.shape), environment.spec.action.dtype))
    return environment


@pytest.mark.parametrize("steps", [0, 5])
@pytest.mark.parametrize("make", HOSTS.values(), ids=HOSTS)
def test_a_state_of_the_environment_that_is_none_is_refused(tmp_path, make, steps):
    def restored(held):
        with (tmp_path / "environment.safetensors").open("wb") as opened:
            arrays.write(opened, held)
        file = ArrayFile.open(tmp_path / "environment.safetensors")
        fresh = played(make(), 0)
        file.check_rows(fresh.state(), 2)
        return fresh.restore(file.read_all())

    held = played(make(), steps).state()
    restored(held)
    for what, wrong in mutations(held):
        try:
            restored(wrong)
        except (files.UnreadableError, errors.EnvironmentFault):
            continue
        pytest.fail(what)


@pytest.mark.slow
def test_what_an_environment_raises_over_a_state_is_a_fault_with_a_sentence(tmp_path, monkeypatch):
    run = agentlab.run("dqn", 0, ON_THE_HOST, run_dir=tmp_path / "run").directory
    file = run / "checkpoints" / "step-60" / "environment.safetensors"
    held = ArrayFile.open(file).read_all()
    rewrite(file, {**held, "lengths": np.array([2**62, 2**62])})  # whose sum is 0 in 64 bits
    with pytest.raises(errors.UsageError, match=r"environment.safetensors has lengths as \d+ at element 0; expected 0 to"):
        agentlab.resume(run, steps=64)
    rewrite(file, {**held, "lengths": held["lengths"] + 1})
    with pytest.raises(errors.EnvironmentFault, match="The checkpoint holds no log of the episodes of 2 environments"):
        agentlab.resume(run, steps=64)
    rewrite(file, {name: array for name, array in held.items() if name != "seed"})
    with pytest.raises(errors.UsageError, match=r"does not fit .*environment.safetensors doesn't fit this agent: seed on one"):
        agentlab.resume(run, steps=64)
    rewrite(file, held)
    with monkeypatch.context() as patch:
        patch.setattr(GymnasiumEnvironment, "restore", lambda *_: {}["it"])
        with pytest.raises(errors.EnvironmentFault, match="failed at restore: it raised KeyError"):
            agentlab.resume(run, steps=64)
    assert agentlab.resume(run, steps=64).result["steps"] == 64


# ---- what is written can be read ------------------------------------------------------------------------------------------

READABLE = [
    {},
    {"text": "\ud800 caf\xe9 \0", "number": 1.5, "none": None, "list": [1, [2, {"a": True}]]},
    {"tuple": (1, 2), "numpy": np.float32(0.5), "whole": np.int64(3), "flag": np.bool_(True), "array": np.arange(3)},
    {"a": {"b": {"c": 2**62}}},
]


@pytest.mark.parametrize("data", READABLE)
def test_json_that_is_written_can_be_read(tmp_path, data):
    (tmp_path / "file").write_bytes(files.json_bytes(data, "file"))
    plain = json.loads(json.dumps(data, default=lambda value: value.tolist()))
    assert files.read_json(tmp_path / "file") == plain


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"a": float("nan")}, "not JSON compliant|Out of range"),
        ({"a": [{"b": np.float64("inf")}]}, "not JSON compliant|Out of range"),
        ({"a": {1: 2}}, "the key '1' is a int; expected a text"),
        ({"a": {1: 2, "1": 3}}, "the key '1' is a int"),
        ({"a": object()}, "not JSON serializable"),
        ({"a": 10**5_000}, "limit"),
        ({"a": nested(100_000)}, "nested too deep"),
        ({"a": "x" * files.TEXT_LIMIT}, "would have 16,777,.* bytes; expected at most 16,777,216"),
    ],
)
def test_json_that_could_not_be_read_is_not_written(data, sentence):
    with pytest.raises(files.UnwritableError, match=sentence):
        files.json_bytes(data, "file")


def test_what_is_not_finite_is_null_in_the_files(tmp_path):
    directory = RunDirectory.create(tmp_path / "run", "task", 0, b"{}\n")
    metrics = MetricsFile(directory)
    metrics.begin(TrackedRun({}, directory.path, 1))
    metrics.line({"step": 1, "loss": float("nan"), "reward": np.float32("inf"), "return_mean": 0.5})
    metrics.end(None)
    directory.write_result({"evaluation": {"score": [1.0, float("-inf")], "mean": np.float64("nan")}, "steps": np.int64(3)})
    directory.close()
    line = files.read_json(tmp_path / "run" / "metrics.jsonl")
    assert line == {"step": 1, "loss": None, "reward": None, "return_mean": 0.5}
    result = files.read_json(tmp_path / "run" / "result.json")
    assert result == {"evaluation": {"score": [1.0, None], "mean": None}, "steps": 3}


def test_a_run_whose_config_could_not_be_read_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "TEXT_LIMIT", 1_000)
    with pytest.raises(errors.UsageError, match=r"can't be recorded: config.json would have .* bytes; .*large data goes into"):
        agentlab.run("linear-regression", 0, REGRESSION, run_dir=tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"seed": True}, "lacks a table 'task' or a whole number 'seed'"),
        ({"spec": {"name": 3}}, "spec .* can't be read"),
        ({"task": 3}, "lacks a table 'task'"),
    ],
)
def test_a_config_is_read_back_before_it_is_written(run, wrong, sentence):
    config = json.loads((run / "config.json").read_text())
    assert run_config.config_bytes(config)
    with pytest.raises(errors.UsageError, match=sentence):
        run_config.config_bytes({**config, **wrong})


def test_a_space_that_is_too_large_to_be_read_is_told_before_a_run_begins(run):
    config = json.loads((run / "config.json").read_text())
    EnvironmentSpec.from_data(config["spec"])
    config["spec"]["observation"]["shape"] = [2**30]
    with pytest.raises(errors.UsageError, match=r"shape is '\[1073741824\]'"):
        run_config.config_bytes(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("groups", "facts", "sentence"),
    [
        ({"agent": {"x": np.zeros(2, np.complex64)}}, {}, "x is an array of complex64"),
        ({"agent": {"x": np.array(["text"])}}, {}, "x is an array of <U4"),
        ({"agent": {"x": np.zeros([1] * 40)}}, {}, r"x is an array of float64 and shape"),
        ({"../agent": {}}, {}, "not the name of a group"),
        ({"agent": {}}, {"best": {"step": 1, "return_mean": float("nan")}}, "manifest.json can't hold it"),
        ({"agent": {}}, {"metrics_bytes": -1}, "are not those of a checkpoint"),
        ({"agent": {f"{number}" + "x" * 1_000: np.zeros(0) for number in range(20_000)}}, {}, "20,000 arrays have names of"),
    ],
)
def test_a_checkpoint_that_could_not_be_read_is_not_written(tmp_path, groups, facts, sentence):
    whole = {"metrics_bytes": 0, "best": None, "exact": True, **facts}
    with pytest.raises(errors.WriteFault, match=f"checkpoint of step 1 can't be written to .*{sentence}"):
        Checkpoints(tmp_path / "checkpoints").save(1, groups, whole)
    assert not list(tmp_path.iterdir())


def test_weights_of_bfloat16_are_saved_and_come_back(tmp_path):
    import ml_dtypes

    held = {"x": np.arange(5).astype(ml_dtypes.bfloat16)}
    with (tmp_path / "file").open("wb") as opened:
        arrays.write(opened, held)
    assert ArrayFile.open(tmp_path / "file").read("x", held["x"]).tobytes() == held["x"].tobytes()


@pytest.mark.slow
def test_a_return_that_is_no_number_is_never_the_best(tmp_path, monkeypatch):
    from agentlab.loop.evaluation import Evaluator

    right = Evaluator.run
    monkeypatch.setattr(
        Evaluator, "run", lambda self, *more: {**right(self, *more), "return_mean": float("nan"), "score": float("inf")}
    )
    run = agentlab.run("linear-regression", 0, {**REGRESSION, "evaluation": {"period": 20}}, run_dir=tmp_path / "run")
    assert "best" not in run.result
    assert files.read_json(run.directory / "result.json")["evaluation"]["score"] is None
    for line in (run.directory / "metrics.jsonl").read_text().splitlines():
        assert files.parse_json(line, "line")["evaluation_return_mean"] is None
    assert agentlab.load(run.directory) is not None
