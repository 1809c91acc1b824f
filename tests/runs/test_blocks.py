"""Large arrays of a memory in blocks: only what has changed is copied and written, and what is read is what was stored."""

import json
import os
import pathlib
import shutil

import attrs
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from test_resume import FAMILIES, StopsAfter, lines

import agentlab
from agentlab import errors
from agentlab.runs.checkpoints import Checkpoints, cutting, snapshot
from agentlab.runs.checkpoints.committer import Committer
from agentlab.runs.checkpoints.cutting import CutArray
from agentlab.runs.checkpoints.store import cut_arrays
from agentlab.runs.composition import resolved
from agentlab.runs.session.saving import RunFiles, Saving
from agentlab.runs.session.session import Session
from agentlab.runs.trackers.several import Trackers
from agentlab.system.array_rows import appended_slots
from agentlab.system.files import UnreadableError
from agentlab.system.processes.clock import Clock

FACTS = {"metrics_bytes": 0, "best": None, "exact": True}


@pytest.fixture(scope="module", autouse=True)
def _small_blocks():
    """Has small memories cut into blocks, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "BLOCK_BYTES", 96)
        yield


def blocks_in(directory):
    return {path.name for path in directory.glob("checkpoints/blocks/*")}


# ---- which blocks have changed --------------------------------------------------------------------------------------------


@given(rows=st.integers(1, 9), before=st.integers(0, 30), more=st.integers(0, 30))
def test_appended_slots_are_those_that_a_ring_writes(rows, before, more):
    written = {number % rows for number in range(before, before + more)}
    slots = [slot for part in appended_slots(rows, before, before + more) for slot in part]
    assert sorted(slots) == sorted(written)


@given(
    rows=st.integers(1, 40),
    width=st.integers(1, 7),
    parts=st.lists(st.integers(0, 50), min_size=2, max_size=5),
    dtype=st.sampled_from(["uint8", "bool", "float32", "int64"]),
    data=st.data(),
)
def test_a_ring_in_blocks_is_what_a_whole_copy_is(rows, width, parts, dtype, data):
    """Of one state after the other, with blocks taken over from the one before, some of which somebody has removed."""
    ring, appended, before, stored = tf.Variable(np.zeros([rows, width], dtype)), 0, None, {}
    for count in parts:
        numbers = np.arange(appended, appended + count)[-rows:]
        values = np.asarray(numbers[:, None] * 7 % 251 + np.arange(width), dtype)
        ring.scatter_update(tf.IndexedSlices(values, numbers % rows))
        appended += count

        copied = snapshot.copied_ring(ring, appended, before)
        whole = ring.numpy()[:appended]
        if not isinstance(copied, CutArray):
            assert whole.nbytes <= 96
            np.testing.assert_array_equal(copied, whole)
            before = None
            continue
        pieces = [stored[block] if isinstance(block, str) else block.tobytes() for block in copied.blocks]
        assert b"".join(pieces) == whole.tobytes()

        # As stored; some are forgotten.
        names = [f"{number}-{appended}" for number in range(len(pieces))]
        stored = dict(zip(names, pieces, strict=True))
        before = attrs.evolve(copied, blocks=[name if data.draw(st.booleans()) else "" for name in names])


def test_of_a_ring_only_the_blocks_that_were_written_are_copied():
    ring = tf.Variable(tf.zeros([24, 8]))  # three rows a block
    first = snapshot.copied_ring(ring, 30, None)
    first.blocks = [str(number) for number in range(8)]
    assert first.num_blocks == 8

    def copied(appended):
        later = snapshot.copied_ring(ring, appended, first)
        return [number for number, block in enumerate(later.blocks) if not isinstance(block, str)]

    assert copied(30) == []
    assert copied(31) == [2]  # row 30 lies in row 6
    assert copied(49) == [0, 2, 3, 4, 5, 6, 7]
    assert copied(54) == list(range(8))
    assert copied(29) == list(range(8))  # of another history


# ---- memories -------------------------------------------------------------------------------------------------------------

DQN = {**FAMILIES["device"][1], "memory": {"capacity": 100, "batch_size": 16}}
CUT_EPISODES = {"name": "gymnasium", "id": "CartPole-v1"}
MEMORIES = {
    "replay": ("dqn", DQN),
    "replay of three steps on the host": (
        "dqn",
        {**DQN, "environment": CUT_EPISODES, "trainer": {**DQN["trainer"], "num_steps": 3}},
    ),
    "prioritised replay": ("dqn", {**DQN, "memory": {**DQN["memory"], "name": "prioritized-replay"}}),
    "sequences": ("r2d2-cartpole-no-velocity", {**FAMILIES["r2d2"][1], "memory": {"capacity": 100, "batch_size": 8}}),
}


def started(name):
    task, changes = MEMORIES[name]
    session = Session(resolved(task, {**changes, "execution": "graph"}, None), 3, None, bool)
    session._assembly.gear.start()
    return session


def saved(session, checkpoints, step, earlier):
    """Commits the state of a session; returns its large arrays, and how many of their blocks were copied."""
    taken = snapshot.take(session.agent, session._assembly.gear, earlier)
    copied = sum(not isinstance(block, str) for cut in cut_arrays(taken).values() for block in cut.blocks)
    checkpoints.save(step, snapshot.without_unused_rows(taken), FACTS)
    return cut_arrays(taken), copied


def assert_holds(checkpoint, session):
    """Compares all of a checkpoint's memory with the variables."""
    file, rings = checkpoint.file("memory"), session.agent.memory_variables()
    file.check(rings, short=True)
    for name, ring in rings.items():
        assert file.read(name, ring).tobytes() == ring.numpy().tobytes(), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name != "replay" else name for name in MEMORIES]
)
def test_checkpoints_that_copy_what_has_changed_hold_what_whole_ones_do(tmp_path, name):
    """Before and after a ring is full, after episodes were cut, and where another session continues."""
    (tmp_path / "run").mkdir()
    session, checkpoints, earlier = started(name), Checkpoints(tmp_path / "run" / "checkpoints"), {}
    rows, numbers, step = session._task.num_environments, [], 0
    for turns in (20, 7, 1, 100 // rows, 3, 1):
        session._assembly.gear.run(turns)
        step += turns * rows
        session.agent.learner.memory.cut(tf.range(rows // 2, dtype=tf.int64))
        earlier, copied = saved(session, checkpoints, step, earlier)
        numbers.append((copied, sum(cut.num_blocks for cut in earlier.values())))
        checkpoint = checkpoints.open(step)
        assert_holds(checkpoint, session)
        checkpoint.close()

    # A few steps cost a few blocks.
    assert numbers[0][0] == numbers[0][1]
    assert numbers[-1][0] < numbers[-1][1] / 3
    session.close()

    # Another session, which begins with the checkpoint's blocks.
    session = started(name)
    checkpoint = checkpoints.open(step)
    earlier = snapshot.put(checkpoint, session.agent, session._assembly.gear)
    assert_holds(checkpoint, session)
    checkpoint.close()
    session._assembly.gear.run(1)
    known, copied = saved(session, checkpoints, step + rows, earlier)
    assert copied < sum(cut.num_blocks for cut in known.values()) / 3
    assert_holds(checkpoints.open(step + rows), session)
    session.close()


@pytest.mark.slow
def test_a_run_in_blocks_comes_to_what_one_in_whole_files_comes_to(tmp_path, monkeypatch):
    task, changes = FAMILIES["device"]
    with pytest.raises(errors.Interrupted):
        agentlab.run(task, 3, changes, run_dir=tmp_path / "run", stop=StopsAfter(3))
    assert blocks_in(tmp_path / "run")
    agentlab.resume(tmp_path / "run")
    monkeypatch.setattr(cutting, "BLOCK_BYTES", 2**22)
    agentlab.run(task, 3, changes, run_dir=tmp_path / "whole")
    assert not blocks_in(tmp_path / "whole")
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")

    # The directory may be moved.
    (tmp_path / "run").rename(tmp_path / "moved")
    one, other = (agentlab.load(tmp_path / name, memory=True).memory_variables() for name in ("moved", "whole"))
    assert one.keys() == other.keys()
    for name, ring in one.items():
        assert ring.numpy().tobytes() == other[name].numpy().tobytes(), name


# ---- the files ------------------------------------------------------------------------------------------------------------


def memory(*changed):
    """Returns the arrays of a memory of seven blocks, of which some are changed."""
    ring = np.arange(80.0).reshape(20, 4)  # three rows a block
    ring[list(changed)] += 0.5
    return {"memory": {"ring": cutting.cut_if_large(ring), "added": np.array(5)}}


@pytest.fixture
def checkpoints(tmp_path):
    held = Checkpoints(tmp_path / "checkpoints")
    held.save(10, memory(), FACTS)
    return held


def test_a_block_is_stored_once_and_removed_once_no_checkpoint_lists_it(checkpoints, tmp_path):
    first = blocks_in(tmp_path)
    assert len(first) == 7
    checkpoints.save(20, memory(0, 19), FACTS)
    second = blocks_in(tmp_path) - first
    assert len(second) == 2
    checkpoints.save(30, memory(19), FACTS)
    assert blocks_in(tmp_path) == first | second  # all of its blocks were there
    checkpoints.prune([20, 30])
    assert len(first - blocks_in(tmp_path)) == 1  # that with row 19; row 0 is as it was in the newest
    checkpoints.prune([30])
    assert blocks_in(tmp_path) == set(checkpoints.open(30).cut["ring"].digests())
    checkpoints.prune([])
    assert blocks_in(tmp_path) == set()


def test_blocks_that_a_process_left_which_was_killed_as_it_removed_a_checkpoint_are_removed(checkpoints, tmp_path):
    checkpoints.save(20, memory(0), FACTS)
    shutil.rmtree(tmp_path / "checkpoints" / "step-10")
    used = set(checkpoints.open(20).cut["ring"].digests())
    assert blocks_in(tmp_path) > used
    checkpoints.sweep()
    assert blocks_in(tmp_path) == used


def test_as_long_as_a_manifest_is_damaged_no_block_is_removed(checkpoints, tmp_path):
    checkpoints.save(20, memory(0), FACTS)
    checkpoints.save(30, memory(1), FACTS)
    whole = (tmp_path / "checkpoints" / "step-20" / "manifest.json").read_bytes()
    (tmp_path / "checkpoints" / "step-20" / "manifest.json").write_bytes(whole[:-9])
    (tmp_path / "checkpoints" / "blocks" / "notes.txt").write_text("mine")
    before = blocks_in(tmp_path)
    checkpoints.prune([20, 30])
    assert blocks_in(tmp_path) == before
    (tmp_path / "checkpoints" / "step-20" / "manifest.json").write_bytes(whole)
    checkpoints.open(20).verify()
    checkpoints.prune([20])
    assert blocks_in(tmp_path) == {*checkpoints.open(20).cut["ring"].digests(), "notes.txt"}


DAMAGES = {
    "removed": lambda file: file.unlink(),
    "changed": lambda file: file.write_bytes(bytes(len(file.read_bytes()))),
    "cut": lambda file: os.truncate(file, 5),
    "replaced by a link": lambda file: (
        shutil.copy(file, file.parent.parent / "copy"),
        file.unlink(),
        file.symlink_to("../copy"),
    ),
    "replaced by a pipe": lambda file: (file.unlink(), os.mkfifo(file)),
    "replaced by a folder": lambda file: (file.unlink(), file.mkdir()),
}
SENTENCE = r"^ring can't be read: its block [0-9a-f]{64} (is|has|can't) [a-z0-9 ,]*$"


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_block_that_is_not_whole_is_refused_in_a_sentence_and_written_again(checkpoints, tmp_path, damage):
    file = tmp_path / "checkpoints" / "blocks" / checkpoints.open(10).cut["ring"].digests()[3]
    whole = checkpoints.open(10).file("memory")  # verified before
    DAMAGES[damage](file)
    with pytest.raises(UnreadableError, match=SENTENCE.replace("[a-z0-9 ,]", "[-a-z0-9 ,]")):
        checkpoints.open(10).verify()
    with pytest.raises(UnreadableError, match="ring can't be read: its block"):
        whole.read_all()
    for held in (checkpoints, Checkpoints(tmp_path / "checkpoints")):  # one that wrote it, and one of another process
        held.save(20, memory(), FACTS)
        held.open(20).verify()
        DAMAGES[damage](file)
        assert held.blocks.with_sound(held.open(10).cut["ring"]).blocks[3] == ""
    assert not (tmp_path / "checkpoints" / "copy").exists() or (tmp_path / "checkpoints" / "copy").stat().st_size == 96


def test_where_the_folder_of_blocks_leads_elsewhere_nothing_is_read_or_written(checkpoints, tmp_path):
    outside = tmp_path / "outside"
    (tmp_path / "checkpoints" / "blocks").rename(outside)
    (tmp_path / "checkpoints" / "blocks").symlink_to(outside)
    before = {path.name for path in outside.iterdir()}
    with pytest.raises(UnreadableError, match="blocks is a symbolic link, which is not followed"):
        checkpoints.open(10).verify()
    with pytest.raises(errors.WriteFault, match=r"step 20 can't be written .*: blocks is a symbolic link.* Remove it, then"):
        checkpoints.save(20, memory(0), FACTS)
    checkpoints.prune([10])
    assert {path.name for path in outside.iterdir()} == before


HOSTILE = {
    "a path": lambda cut: cut["blocks"].__setitem__(0, "../../../etc/passwd"),
    "an upper-case name": lambda cut: cut["blocks"].__setitem__(0, cut["blocks"][0].upper()),
    "a name with a line end": lambda cut: cut["blocks"].__setitem__(0, cut["blocks"][0] + "\n"),
    "a number for a name": lambda cut: cut["blocks"].__setitem__(0, 5),
    "too few blocks": lambda cut: cut["blocks"].pop(),
    "too many blocks": lambda cut: cut["blocks"].append(cut["blocks"][0]),
    "no list": lambda cut: cut.update(blocks={}),
    "a shape beyond all memory": lambda cut: cut.update(shape=[2**40, 2**20]),
    "a negative shape": lambda cut: cut.update(shape=[-20, -4]),
    "a shape of truth": lambda cut: cut.update(shape=[True, 80]),
    "axes without end": lambda cut: cut.update(shape=[1] * 40 + [20, 4]),
    "another dtype": lambda cut: cut.update(dtype="O"),
    "blocks of no bytes": lambda cut: cut.update(block_bytes=0),
    "enormous blocks": lambda cut: cut.update(block_bytes=2**40, blocks=cut["blocks"][:1]),
    "one key more": lambda cut: cut.update(path="/etc/passwd"),
    "no sha256": lambda cut: cut.pop("sha256"),
}


def manifest_of(tmp_path):
    return tmp_path / "checkpoints" / "step-10" / "manifest.json"


def rewrite(tmp_path, change, name="ring"):
    """Changes what the manifest says of an array, with the hash that it then has to have."""
    data = json.loads(manifest_of(tmp_path).read_text())
    cut = data["files"]["memory.safetensors"]["cut"].pop("ring")
    change(cut)
    if "sha256" in cut:
        cut["sha256"] = cutting._sha256_of(name, {key: value for key, value in cut.items() if key != "sha256"})
    data["files"]["memory.safetensors"]["cut"][name] = cut
    manifest_of(tmp_path).write_text(json.dumps(data))


@pytest.mark.parametrize("way", HOSTILE)
def test_a_manifest_that_describes_no_such_blocks_is_refused(checkpoints, tmp_path, way):
    rewrite(tmp_path, HOSTILE[way])
    with pytest.raises(UnreadableError, match=r"^manifest\.json has a malformed list of files$"):
        checkpoints.open(10)


def test_blocks_in_another_order_are_another_array(checkpoints, tmp_path):
    rewrite(tmp_path, lambda cut: cut["blocks"].reverse())  # of which the last one is shorter
    with pytest.raises(UnreadableError, match=r"its block [0-9a-f]{64} has 64 bytes instead of 96"):
        checkpoints.open(10).verify()
    manifest = json.loads(manifest_of(tmp_path).read_text())
    blocks = manifest["files"]["memory.safetensors"]["cut"]["ring"]["blocks"]
    blocks.reverse()
    blocks[0], blocks[1] = blocks[1], blocks[0]
    manifest_of(tmp_path).write_text(json.dumps(manifest))
    with pytest.raises(UnreadableError, match="malformed list of files"):
        checkpoints.open(10)


def test_of_other_groups_no_array_is_in_blocks(checkpoints, tmp_path):
    """A log of an environment has any number of rows: named often enough, one block would be larger than all memory."""
    data = json.loads(manifest_of(tmp_path).read_text())
    data["files"] = {"environment.safetensors": data["files"]["memory.safetensors"]}
    manifest_of(tmp_path).write_text(json.dumps(data))
    with pytest.raises(UnreadableError, match="malformed list of files"):
        checkpoints.open(10)
    with pytest.raises(errors.WriteFault, match="only arrays of 'memory' can be cut into blocks"):
        checkpoints.save(20, {"environment": memory()["memory"]}, FACTS)


def test_a_block_that_is_listed_a_million_times_is_read_once_and_fits_no_memory(checkpoints, tmp_path, monkeypatch):
    def often(cut):
        cut.update(shape=[200_000 * 12], blocks=cut["blocks"][:1] * 200_000)

    rewrite(tmp_path, often)
    reads, read = [], os.pread
    monkeypatch.setattr(os, "pread", lambda *arguments: reads.append(0) or read(*arguments))
    file = checkpoints.open(10).file("memory")
    assert len(reads) < 10
    with pytest.raises(UnreadableError, match=r"has ring as F64 \(2400000,\); expected float64 \(20, 4\)"):
        file.check({"ring": np.zeros((20, 4)), "added": np.array(5)}, short=True)


def test_an_array_that_is_in_a_block_and_in_the_file_is_refused(checkpoints, tmp_path):
    rewrite(tmp_path, lambda cut: None, name="added")
    with pytest.raises(UnreadableError, match=r"memory\.safetensors has added twice"):
        checkpoints.open(10).verify()


def test_checkpoints_of_whole_files_are_read(tmp_path):
    """As agentlab wrote them before there were blocks."""
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    held = {"memory": {"ring": np.arange(80.0), "added": np.array(5)}}
    checkpoints.save(10, held, FACTS)
    data = json.loads(manifest_of(tmp_path).read_text())
    manifest_of(tmp_path).write_text(json.dumps({**data, "schema": 1}))
    np.testing.assert_array_equal(checkpoints.open(10).file("memory").read_all()["ring"], held["memory"]["ring"])
    manifest_of(tmp_path).write_text(json.dumps({**data, "schema": 3}))
    with pytest.raises(UnreadableError, match="says schema 3 and step 10; expected 2 and 10"):
        checkpoints.open(10)


# ---- a run under way ------------------------------------------------------------------------------------------------------


class Directory:
    """A run's directory with nothing but checkpoints."""

    def __init__(self, path: pathlib.Path) -> None:
        self.checkpoints = Checkpoints(path / "checkpoints")


@pytest.mark.slow
def test_blocks_that_somebody_removed_or_changed_are_copied_again(tmp_path):
    session, saving = started("replay"), Saving()
    directory = Directory(tmp_path)
    files = RunFiles(directory, Trackers({}), Committer(directory, num_kept=1))

    def committed(step):
        session._assembly.gear.run(5)
        saving.save(files, session._assembly, step, Clock(), "")
        files.committer.wait()
        checkpoint = directory.checkpoints.open(step)
        assert_holds(checkpoint, session)
        return checkpoint.cut["ring/observations/observation"].digests()

    session._assembly.gear.run(40)  # its ring is full
    digests = committed(1)
    folder = tmp_path / "checkpoints" / "blocks"
    (folder / digests[0]).unlink()
    (folder / digests[1]).write_bytes(bytes(96))
    assert len(set(digests) & set(committed(2))) > 2
    shutil.rmtree(folder)
    committed(3)
    session.close()


@pytest.mark.slow
def test_a_run_whose_checkpoint_is_removed_while_its_memory_is_loaded_gives_way_to_a_newer_one(tmp_path, monkeypatch):
    task, changes = FAMILIES["device"]
    run = agentlab.run(task, 3, changes, run_dir=tmp_path / "run").directory
    held = run / "checkpoints"
    steps = Checkpoints(held).steps()
    newer = held / f"step-{steps[-1]}"
    newer.rename(tmp_path / "newer")
    right = snapshot.restore_live

    def meanwhile(*arguments, **named):
        """Commits a newer checkpoint, and removes the one that is being loaded with its blocks."""
        if (tmp_path / "newer").exists():
            (tmp_path / "newer").rename(newer)
            Checkpoints(held).prune([steps[-1]])
        return right(*arguments, **named)

    monkeypatch.setattr(snapshot, "restore_live", meanwhile)
    assert agentlab.load(run, memory=True).learner.steps.numpy() == steps[-1]
