"""Programs that XLA compiled are read by the next process; whatever is wrong with them, they are compiled again."""

import json
import os
import stat
import subprocess
import sys

import pytest

from agentlab import errors
from agentlab.system import machine
from agentlab.system.processes import compiled_programs

OPTION = compiled_programs.OPTION
PREFIX = "xla_compile_cache__"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Returns a folder for compiled programs, in a process that has not imported TensorFlow."""
    monkeypatch.delitem(sys.modules, "tensorflow")
    monkeypatch.setenv("AGENTLAB_COMPILED", str(tmp_path / "compiled"))
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug=false")
    return tmp_path / "compiled"


def folder_in(home, threads=1):
    """Returns the folder that TensorFlow is told of."""
    compiled_programs.keep(threads)
    first, option = os.environ["TF_XLA_FLAGS"].split()
    assert first == "--tf_xla_clustering_debug=false"
    assert option.startswith(OPTION + str(home))
    return home / option.rpartition("/")[2]


def is_off():
    compiled_programs.keep(1)
    return OPTION not in os.environ["TF_XLA_FLAGS"]


def test_tensorflow_is_told_of_a_folder_of_this_users_alone(home):
    folder = folder_in(home)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_another_number_of_threads_or_another_cpu_has_another_folder(home, monkeypatch):
    folder = folder_in(home)
    assert folder_in(home) == folder
    assert folder_in(home, threads=2) != folder
    monkeypatch.setattr(machine, "cpu", lambda: {"model name": "another", "flags": "fpu"})
    assert folder_in(home) != folder


@pytest.mark.parametrize("place", ["home", "folder"])
def test_a_folder_that_others_can_write_to_is_not_used(home, place):
    folder = folder_in(home)
    {"home": home, "folder": folder}[place].chmod(0o777)
    assert is_off()


def test_it_can_be_switched_off_and_a_users_own_flag_counts(home, monkeypatch):
    monkeypatch.setenv("AGENTLAB_COMPILED", "off")
    assert is_off()
    monkeypatch.setenv("AGENTLAB_COMPILED", str(home))
    monkeypatch.setenv("TF_XLA_FLAGS", f"{OPTION}/elsewhere")
    compiled_programs.keep(1)
    assert os.environ["TF_XLA_FLAGS"] == f"{OPTION}/elsewhere"


def test_without_a_home_or_room_programs_are_compiled_again(home, monkeypatch):
    with monkeypatch.context() as patch:
        patch.delenv("AGENTLAB_COMPILED")
        patch.setattr(machine, "cache_folder", lambda: None)
        assert is_off()
    monkeypatch.setattr(compiled_programs, "ROOM", 2**60)
    assert is_off()


def test_what_was_not_written_to_its_end_or_has_changed_is_removed(home):
    folder = folder_in(home)
    for name in ("whole", "changed", "removed"):
        (folder / f"{PREFIX}{name}.pb").write_bytes(name.encode() * 100)
    compiled_programs._seal(folder, os.getpid())
    (folder / f"{PREFIX}changed.pb").write_bytes(b"x")
    (folder / f"{PREFIX}removed.pb").unlink()
    for name in ("unsealed.pb", "cut.pb.tmp", "new.pb"):
        (folder / f"{PREFIX}{name}").write_bytes(b"x")
    for name in ("unsealed.pb", "cut.pb.tmp"):
        os.utime(folder / f"{PREFIX}{name}", (machine.start_time() - 100,) * 2)
    assert folder_in(home) == folder
    names = [f"{PREFIX}{name}" for name in ("new.pb", "whole.pb", "whole.pb.sha256")]
    assert sorted(file.name for file in folder.iterdir()) == names


def test_a_sealed_file_is_read_once_after_each_start_of_the_machine(home, monkeypatch):
    folder = folder_in(home)
    file, seal, hashed = folder / f"{PREFIX}.pb", folder / f"{PREFIX}.pb.sha256", []
    file.write_bytes(b"x")
    compiled_programs._seal(folder, os.getpid())
    digest = compiled_programs._digest
    monkeypatch.setattr(compiled_programs, "_digest", lambda file: hashed.append(file.name) or digest(file))
    os.utime(file, (machine.start_time() - 100,) * 2)
    os.utime(seal, (machine.start_time() - 50,) * 2)
    for _ in range(3):
        folder_in(home)
    assert hashed == [file.name]

    # Written to again since then.
    file.write_bytes(b"y")
    os.utime(file, (seal.stat().st_mtime + 1,) * 2)
    folder_in(home)
    assert not file.exists()
    assert not seal.exists()


def test_a_fork_seals_nothing(home):
    folder = folder_in(home)
    file = folder / f"{PREFIX}cut.pb"
    file.write_bytes(b"x")
    compiled_programs._seal(folder, os.getpid() + 1)
    assert list(folder.iterdir()) == [file]


def test_the_oldest_make_room(home, monkeypatch):
    folder, other = folder_in(home), folder_in(home, threads=2)
    for age, file in enumerate([folder / f"{PREFIX}1.pb", other / f"{PREFIX}2.pb", folder / f"{PREFIX}3.pb"]):
        file.write_bytes(bytes(40))
        os.utime(file, (1e9 - age, 1e9 - age))
    for place in (folder, other):
        compiled_programs._seal(place, os.getpid())
    monkeypatch.setattr(compiled_programs, "LIMIT", 100)
    folder_in(home)
    assert sorted(file.name for file in home.glob("*/*.pb")) == [f"{PREFIX}1.pb", f"{PREFIX}2.pb"]


def test_a_users_own_files_are_neither_removed_nor_opened_wherever_the_folder_is(home, monkeypatch):
    """Not in other folders, as of a user who names the home directory, and not beside what TensorFlow writes."""
    folder = folder_in(home)
    own = [home / "documents" / "thesis.pb", home / "documents" / f"{PREFIX}1.pb", folder / "note.pb"]
    links = [folder / f"{PREFIX}link.pb", home / ("a" * 16)]
    own[0].parent.mkdir()
    for file in own:
        file.write_bytes(bytes(1_000))
    links[0].symlink_to(own[0])
    links[1].symlink_to(own[0].parent)
    os.mkfifo(folder / f"{PREFIX}pipe.pb")  # which would be waited for
    (folder / f"{PREFIX}folder.pb").mkdir()
    for place in (*own, folder / f"{PREFIX}pipe.pb", folder / f"{PREFIX}folder.pb"):
        os.utime(place, (1e9, 1e9))
    monkeypatch.setattr(compiled_programs, "LIMIT", 100)
    assert folder_in(home) == folder
    compiled_programs._seal(folder, os.getpid())
    assert all(file.stat().st_size == 1_000 for file in (*own, links[0]))
    assert not list(home.rglob("*.sha256"))


@pytest.mark.parametrize("value", ["0", "OFF", "compiled", "~/compiled", "/tmp/a b", "/tmp/a\tb", "/tmp/'a", '/tmp/"a', " "])
def test_what_cannot_be_a_folder_is_refused_and_nothing_is_made(home, value, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENTLAB_COMPILED", value)
    with pytest.raises(errors.UsageError, match=r"AGENTLAB_COMPILED is .*; expected the absolute path of a folder"):
        compiled_programs.keep(1)
    assert not list(tmp_path.iterdir())


def test_a_group_that_new_files_are_shared_with_cannot_write_there(home):
    earlier = os.umask(0o002)
    try:
        folder_in(home)
    finally:
        os.umask(earlier)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_nothing_is_made_in_the_current_directory_or_in_the_place_of_a_home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")  # to be ignored, as it is relative
    monkeypatch.setenv("HOME", str(tmp_path))
    assert machine.cache_folder() == tmp_path / ".cache" / "agentlab"
    monkeypatch.setenv("HOME", str(tmp_path / "removed"))
    assert machine.cache_folder() is None


RUN = ["run", "dqn-cartpole", "--quiet", "--steps", "256", "--set", "evaluation.episodes=1", "--set", "checkpoint_period=0"]


@pytest.mark.slow
def test_a_second_run_compiles_nothing_and_ends_with_the_same_weights(tmp_path):
    """Also where what the first left behind is damaged; the programs are those of the device gear."""
    environment = {**os.environ, "AGENTLAB_COMPILED": str(tmp_path / "compiled"), "TF_XLA_FLAGS": ""}

    def weights(name):
        command = [sys.executable, "-m", "agentlab", *RUN, "--run-dir", str(tmp_path / name)]
        subprocess.run(command, check=True, env=environment, timeout=300)
        (manifest,) = (tmp_path / name / "checkpoints").glob("*/manifest.json")
        return {entry: digest for entry, digest in json.loads(manifest.read_text())["files"].items() if "json" not in entry}

    first = weights("first")
    written = {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in (tmp_path / "compiled").glob("*/*.pb")}
    assert written
    assert weights("second") == first
    assert {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in written} == written

    # A file that was cut off, as where the power failed: the seal tells.
    for file in written:
        file.write_bytes(file.read_bytes()[:100])
    assert weights("third") == first
