"""Feeds damaged and hostile input to everything that reads what a user might have been sent.

    python tests/helpers/untrusted.py --inputs 100000

Whatever it is given may be refused with a sentence; it must not raise anything else, hang, start a process, unpickle, or open a
file that it was not pointed to.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import io
import json
import os
import pathlib
import pickle
import random
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator

import numpy as np

from agentlab import configuration, errors, task
from agentlab.runs.checkpoints import Checkpoint, Checkpoints
from agentlab.runs.checkpoints.cutting import CutArray
from agentlab.spec import EnvironmentSpec
from agentlab.system import files
from agentlab.system.arrays import ArrayFile
from agentlab_envs.data import datasets
from agentlab_envs.text import texts

HANGS_SECONDS = 20
FORBIDDEN = (
    "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.spawn", "subprocess.Popen",
    "socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request", "webbrowser.open",
)  # fmt: skip
CHANGES = (
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.chmod",
    "os.truncate",
    "shutil.rmtree",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
TREES = [str(pathlib.Path(file).resolve().parent.parent) for file in (__file__, errors.__file__, datasets.__file__)]
INSTALLED = (*TREES, *{str(pathlib.Path(path).resolve()) for path in (sys.prefix, sys.base_prefix, *sys.path) if path})


class Tripped(BaseException):
    """Something was done that no reader may do."""


class Guard:
    """An audit hook, which can't be removed, only switched off.

    Attributes:
        on: whether it looks.
        secret: a file that nothing may open.
        folder: outside of which nothing may be written, and no code run that is not installed; empty for no such limit.
    """

    def __init__(self) -> None:
        self.on = False
        self.secret = ""
        self.folder = ""
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.on:
            return
        if event in FORBIDDEN or (event == "open" and self.secret and str(arguments[0]) == self.secret):
            raise Tripped(f"{event} {arguments}")
        if self.folder and (self._writes(event, arguments) or self._runs(event, arguments)):
            raise Tripped(f"{event} {arguments}"[:500])

    def _writes(self, event: str, arguments: tuple) -> bool:
        """Whether something outside the folder is written; what Python itself compiles may be kept beside its source."""
        if event not in CHANGES and not (event == "open" and arguments[2] & WRITING):
            return False
        if not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return False  # an open descriptor
        path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100 - as it is, links not followed
        own = path == os.devnull or path.startswith(self.folder)
        nameless = event == "open" and path == tempfile.gettempdir()  # a temporary file without a name is opened so
        return not (own or nameless or "__pycache__" in path)

    def _runs(self, event: str, arguments: tuple) -> bool:
        """Whether code of a file runs that is not installed."""
        if event != "exec":
            return False
        file = str(getattr(arguments[0], "co_filename", ""))
        return file.startswith("/") and (file.startswith(self.folder) or not file.startswith(INSTALLED))


GUARD = Guard()


class Payload:
    """Unpickling it would run a command."""

    def __reduce__(self) -> tuple:
        return os.system, ("true",)


def trips(function: Callable[[], object]) -> bool:
    """Whether the guard notices what a function does."""
    GUARD.on = True
    try:
        function()
    except Tripped:
        return True
    finally:
        GUARD.on = False
    return False


def read_checkpoint(directory: pathlib.Path) -> None:
    checkpoint = Checkpoints(directory).open(10)
    checkpoint.verify()
    for group in ("agent", "loop", "memory"):
        checkpoint.file(group).read_all()
    checkpoint.file("agent").check({"model/000": np.zeros((3, 2), np.float32), "updates": np.array(0)})


def read_config(directory: pathlib.Path) -> None:
    _, _, config = configuration.read_run_config(directory / "config.json")
    EnvironmentSpec.from_data(config.get("spec") or {})


RING = np.arange(5.0).tobytes()  # in blocks of 32 bytes
READERS: dict[str, Callable[[pathlib.Path], object]] = {
    "step-10/manifest.json": read_checkpoint,
    "step-10/agent.safetensors": lambda directory: ArrayFile.open(directory / "step-10" / "agent.safetensors").read_all(),
    "step-10/loop.safetensors": read_checkpoint,
    f"blocks/{hashlib.sha256(RING[:32]).hexdigest()}": read_checkpoint,
    "config.json": read_config,
    "changes.toml": lambda directory: configuration.read_config(str(directory / "changes.toml")),
    "data.npz": lambda directory: datasets.load(str(directory / "data.npz")),
    "text.txt": lambda directory: texts.decoded(texts.read(str(directory / "text.txt")), "text.txt"),
}


def make_originals(directory: pathlib.Path) -> None:
    """Writes a good file for each reader."""
    held = {"agent": {"model/000": np.ones((3, 2), np.float32), "updates": np.array(4)}, "loop": {"x": np.arange(3)}}
    blocks = [np.frombuffer(RING[begin : begin + 32], np.uint8) for begin in (0, 32)]
    held["memory"] = {"ring": CutArray(np.dtype("float64"), (5,), blocks, 32), "added": np.array(5)}
    Checkpoints(directory).save(10, held, {"metrics_bytes": 0, "best": None, "exact": True})
    parts = {kind: task.part("thing", size=3, name_of="x") for kind in task.PART_KINDS}
    original = task.Task("thing", "A thing.", **parts)
    space = {"shape": [4], "dtype": "float32", "minimum": None, "maximum": None}
    spec = {"name": "thing", "observation": space, "action": {"num_values": 2, "dtype": "int64", "shape": []}, "target": None}
    spec |= {"max_episode_steps": 5, "num_episodes": None, "vocabulary": {"kind": "characters", "characters": "abc"}}
    config = {"task": original.as_data(), "seed": 1, "spec": spec, "inexact": ""}
    (directory / "config.json").write_bytes(files.json_bytes(config, "config.json"))
    (directory / "changes.toml").write_text('steps = 10\n[trainer]\nname = "dqn"\nrates = [1.0, 2e-3]\n', "utf-8")
    images, labels = np.arange(48, dtype=np.uint8).reshape(6, 2, 2, 2), np.arange(6) % 3
    np.savez_compressed(directory / "data.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    (directory / "text.txt").write_text("Some text, a bit of it: äöü. " * 5, "utf-8")


TOKENS = [
    b"\x00", b"\xff" * 8, b"[" * 5_000, b"{" * 500, b'{"a":' * 3_000, b"1e999", b"-1", b"9" * 5_000, b"null", b'""',
    b"NaN", b'"../../../etc/passwd"', b"../" * 9, b'"shape":[99999999999999999999]', b'"shape":[1000000000,1000000000]',
    b"\xed\xa0\x80", b"(dp0\n.", b"\x80\x04\x95", b"cos\nsystem\n(S'true'\ntR.", b"PK\x03\x04", b"\x93NUMPY\x01\x00",
    b"true", b"\n[a]\n[a]\n", b"=" * 99,
]  # fmt: skip


def mutated(data: bytes, generator: random.Random) -> bytes:
    """Returns bytes changed in one to four random ways."""
    damaged = bytearray(data)
    for _ in range(generator.randrange(1, 5)):
        place, length = generator.randrange(len(damaged) + 1), generator.randrange(1, 20)
        way = generator.randrange(6)
        if way == 0 and damaged:
            damaged[place % len(damaged)] ^= 1 << generator.randrange(8)
        elif way == 1:
            del damaged[place : place + length]
        elif way == 2:
            damaged[place:place] = generator.choice(TOKENS)
        elif way == 3:
            damaged[place : place + length] = generator.choice(TOKENS)
        elif way == 4:
            damaged[place : place + length] = generator.randbytes(length)
        else:
            begin = generator.randrange(len(damaged) + 1)
            damaged[place:place] = damaged[begin : begin + 4 * length]
    return bytes(damaged)


def try_reader(name: str, directory: pathlib.Path) -> str:
    """Returns "read" or "refused".

    Raises:
        AssertionError: the input did something else.
    """
    signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(HANGS_SECONDS)
    GUARD.on = True
    try:
        READERS[name](directory)
    except (errors.AgentlabError, files.UnreadableError):
        return "refused"
    except BaseException as error:
        raise AssertionError(f"{name}: {type(error).__name__}: {str(error)[:200]}") from error
    finally:
        GUARD.on = False
        signal.alarm(0)
    return "read"


def _hangs(*_: object) -> None:
    raise Tripped(f"more than {HANGS_SECONDS} seconds")


def fuzz(inputs: int, seed: int, folder: pathlib.Path) -> collections.Counter:
    """Reads `inputs` mutated files; returns how many were read and refused, by reader."""
    generator, counts = random.Random(seed), collections.Counter()
    make_originals(folder)
    originals = {name: (folder / name).read_bytes() for name in READERS}
    for name in READERS:
        if try_reader(name, folder) != "read":
            raise AssertionError(f"{name} is refused as it is")
    for _ in range(inputs):
        name = generator.choice(list(READERS))
        (folder / name).write_bytes(mutated(originals[name], generator))
        counts[name, try_reader(name, folder)] += 1
        (folder / name).write_bytes(originals[name])
    return counts


def npz_with(member: str, data: bytes, directory: pathlib.Path) -> None:
    """Writes an archive with one more member than the good one has, or another."""
    with zipfile.ZipFile(directory / "data.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, data)


def header_of(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """Returns the beginning of a .npy file that declares a shape."""
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": dtype, "fortran_order": False, "shape": shape})
    return written.getvalue()


def exploit_data(directory: pathlib.Path) -> dict[str, Callable[[], None]]:
    """Returns, by name, ways to make data.npz an attack."""
    objects = io.BytesIO()
    np.save(objects, np.array([Payload()], dtype=object), allow_pickle=True)
    return {
        "pickled objects": lambda: npz_with("x_train.npy", objects.getvalue(), directory),
        "a pickle instead": lambda: (directory / "data.npz").write_bytes(pickle.dumps(Payload())) and None,
        "a huge declared shape": lambda: npz_with("x_train.npy", header_of((10**9, 10**6)) + b"1234", directory),
        "a negative shape": lambda: npz_with("x_train.npy", header_of((-1, 4)) + b"1234", directory),
        "code in a header": lambda: npz_with("x_train.npy", header_of((1,)).replace(b"'<f4'", b"exit()"), directory),
        "names outside": lambda: npz_with("../../x_train.npy", header_of((1,)) + b"1234", directory),
        "a Keras archive with a Lambda": lambda: npz_with("config.json", _keras_lambda(), directory),
    }


CHECKPOINT_ATTACKS = (
    "a pickle", "a linked array file", "a linked manifest", "a file outside", "a huge shape", "a huge header", "deep JSON",
    "a key twice", "a Keras archive",
)  # fmt: skip


def exploit_checkpoint(directory: pathlib.Path, secret: pathlib.Path) -> dict[str, Callable[[], None]]:
    """Returns, by name, ways to make a checkpoint an attack."""
    agent, manifest = directory / "step-10" / "agent.safetensors", directory / "step-10" / "manifest.json"

    def replace(file: pathlib.Path, data: bytes) -> None:
        file.unlink()
        file.write_bytes(data)

    def link(file: pathlib.Path) -> None:
        file.unlink()
        file.symlink_to(secret)

    def header(shape: list[int]) -> bytes:
        text = json.dumps({"model/000": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}).encode()
        return len(text).to_bytes(8, "little") + text + b"1234"

    honest = json.loads(manifest.read_text("utf-8"))
    entry = honest["files"]["agent.safetensors"]
    outside = {**honest, "files": {f"../{secret.name}": entry, "agent.safetensors": entry}}
    return {
        "a pickle": lambda: replace(agent, pickle.dumps(Payload())),
        "a linked array file": lambda: link(agent),
        "a linked manifest": lambda: link(manifest),
        "a file outside": lambda: replace(manifest, json.dumps(outside).encode()),
        "a huge shape": lambda: replace(agent, header([2**40, 2**20])),
        "a huge header": lambda: replace(agent, (2**60).to_bytes(8, "little") + b"{}"),
        "deep JSON": lambda: replace(manifest, b'{"files":' + b"[" * 10**6 + b"]" * 10**6 + b"}"),
        "a key twice": lambda: replace(manifest, json.dumps(honest).encode()[:-1] + b', "step": 10}'),
        "a Keras archive": lambda: replace(agent, b"PK\x03\x04" + _keras_lambda()),
    }


def with_wrong_numbers(whole: Checkpoint, folder: pathlib.Path) -> Iterator[tuple[str, str, Checkpoint]]:
    """Yields copies of a checkpoint with one number each that no part can have written, and where: its group and name.

    Names, shapes, dtypes and hashes are right. Bytes and bits are left alone, of which every value can be right.
    """
    groups = {group: whole.file(group).read_all() for group in ("agent", "memory", "loop", "environment") if whole.has(group)}
    for group, arrays in groups.items():
        for name, array in arrays.items():
            for wrong in _wrong_numbers(array):
                held = {**groups, group: {**arrays, name: wrong}}
                Checkpoints(folder).save(whole.step, held, whole.facts)
                yield group, name, Checkpoints(folder).open(whole.step)


def _wrong_numbers(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yields copies of an array with its first element, or its last, exchanged."""
    worst: tuple[float, ...] = ()
    if array.dtype.kind == "f":
        worst = (np.nan, np.inf)
    elif array.dtype.kind == "i":
        worst = (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max)
    for place, value in zip((0, -1), worst if array.size else (), strict=False):
        wrong = array.copy()
        wrong.reshape(-1)[place] = value
        yield wrong


def _keras_lambda() -> bytes:
    layer = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": {"class_name": "__lambda__"}}}
    module = {"module": "os", "class_name": "system", "config": {"command": "true"}}
    return json.dumps({"class_name": "Sequential", "config": {"layers": [layer, module]}}).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts = fuzz(options.inputs, options.seed, pathlib.Path(folder))
    for name in READERS:
        print(f"{name}: {counts[name, 'refused']:,} refused, {counts[name, 'read']:,} read")
    print(f"{sum(counts.values()):,} inputs, 0 executions, 0 other errors, 0 hangs; {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
