"""Text as an environment: vocabularies, splits, streams and windows, by hand and against a plain reading in Python."""

import hashlib
import json
import os
import pathlib
import urllib.error

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from agentlab import errors, seeds, settings, spec
from agentlab.loop.autoreset import Autoreset, HostedEnvironment
from agentlab.spec import vocabulary as vocabularies
from agentlab.spec.vocabulary import Bytes, Characters
from agentlab_envs.text import texts
from agentlab_envs.text.echo import Echo
from agentlab_envs.text.text import Text

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def read_through(environment, rows, action=lambda observation: observation, compiled=lambda function: function):
    """Acts until the first row's episode ends and returns every time step, with what was acted on."""
    runner = Autoreset(environment, rows, 0)
    step = compiled(runner.step)
    episodes, timestep = runner.reset()
    seen, index = [], 0
    while not seen or not seen[-1][1].terminated.numpy()[0]:
        index += 1
        observed = timestep.observation
        episodes, timestep = step(episodes, action(observed), tf.constant(index, tf.int64))
        seen.append((observed.numpy(), timestep))
    return seen


# ---- vocabularies -------------------------------------------------------------------------------------------------------


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd")))
def test_what_was_seen_comes_back(text):
    for vocabulary in (Characters.of(text), Bytes()):
        numbers = vocabulary.encode(text)
        assert numbers.dtype == np.int64
        assert vocabulary.decode(numbers) == text
        assert vocabulary.unseen(text) == []
        assert all(0 <= number < vocabulary.size for number in numbers)
        assert vocabularies.from_data(vocabulary.as_data()) == vocabulary


def test_unseen_characters_are_number_0():
    vocabulary = Characters.of("banana")
    assert vocabulary == Characters("abn")
    assert vocabulary.size == 4
    assert vocabulary.encode("bat\N{MUSICAL SYMBOL G CLEF}").tolist() == [2, 1, 0, 0]
    assert vocabulary.unseen("tabt\N{MUSICAL SYMBOL G CLEF}") == ["t", "\N{MUSICAL SYMBOL G CLEF}"]
    assert vocabulary.decode(np.array([2, 1, 0])) == "ba\ufffd"


def test_bytes_wait_until_a_character_is_complete():
    numbers = Bytes().encode("aé€")
    assert len(numbers) == 6
    assert list(Bytes().texts(numbers[i : i + 1] for i in range(6))) == ["a", "", "é", "", "", "€", ""]
    assert Bytes().decode(numbers[:2]) == "a\ufffd"


def test_a_text_begins_after_a_line_break():
    assert Characters.of("ab\n").start().tolist() == [1]
    assert Characters.of("ba").start().tolist() == [1]
    assert Bytes().start().tolist() == [10]


@pytest.mark.parametrize("data", [{"kind": "characters"}, {"kind": "words"}, {"kind": "characters", "characters": 3}, {}])
def test_a_vocabulary_of_no_known_kind_is_told(data):
    with pytest.raises(errors.UsageError, match="of no known kind"):
        vocabularies.from_data(data)


@pytest.mark.parametrize("environment", [Text(text=ALPHABET, window=2), Text(text=ALPHABET, window=2, units="bytes"), Echo(7)])
def test_specs_survive_as_data(environment):
    assert spec.EnvironmentSpec.from_data(json.loads(json.dumps(environment.spec.as_data()))) == environment.spec


# ---- streams ------------------------------------------------------------------------------------------------------------


def test_two_streams_by_hand(compiled):
    environment = Text(text="abcdefghij", split="all", test=0.0, window=3)  # a is number 1
    steps = read_through(environment, 2, lambda observed: tf.constant([[2, 9, 4], [0, 0, 7]], tf.int64), compiled)
    # Nine characters follow another: a-d lead to b-e in the first stream, e-i to f-j in the second.
    observed, timestep = steps[0]
    assert observed.tolist() == [[1, 2, 3], [5, 6, 7]]
    assert timestep.target.numpy().tolist() == [[2, 3, 4], [6, 7, 8]]
    assert timestep.reward.numpy().tolist() == [2.0, 0.0]
    assert timestep.terminated.numpy().tolist() == [False, False]
    observed, timestep = steps[1]
    assert observed.tolist() == [[4, 5, 6], [8, 9, 10]]
    assert timestep.target.numpy().tolist() == [[5, -1, -1], [9, 10, -1]]
    assert timestep.reward.numpy().tolist() == [0.0, 0.0]
    assert timestep.terminated.numpy().tolist() == [True, True]
    assert not timestep.truncated.numpy().any()
    assert timestep.observation.numpy().tolist() == [[1, 2, 3], [5, 6, 7]], "each stream is read again from its start"


@pytest.mark.slow
@given(length=st.integers(2, 200), window=st.integers(1, 9), rows=st.integers(1, 6))
def test_every_character_but_the_first_is_asked_for_once(length, window, rows):
    if length < max(window, rows * window) + 1:
        return
    text = "".join(np.random.default_rng(length).choice(list(ALPHABET), length))
    environment = Text(text=text, split="all", test=0.0, window=window)
    numbers = environment.spec.vocabulary.encode(text)
    runner = Autoreset(environment, rows, 0)
    episodes, timestep = runner.reset()
    asked, ended = [[] for _ in range(rows)], np.zeros(rows, bool)
    index = 0
    while not ended.all():
        index += 1
        observed = timestep.observation.numpy()
        episodes, timestep = runner.step(episodes, timestep.observation, tf.constant(index, tf.int64))
        for row in np.flatnonzero(~ended):
            target = timestep.target.numpy()[row]
            judged = target >= 0
            assert timestep.reward.numpy()[row] == (observed[row] == target)[judged].sum()
            pairs = zip(observed[row][judged], target[judged], strict=True)
            asked[row] += [(int(seen), int(following)) for seen, following in pairs]
        ended |= timestep.terminated.numpy()
    assert [pair for row in asked for pair in row] == list(zip(numbers[:-1].tolist(), numbers[1:].tolist(), strict=True))


def test_the_text_is_no_constant_of_the_compiled_program():
    environment = Text(text=ALPHABET * 1000, split="all", window=8)
    runner = Autoreset(environment, 4, 0)
    episodes, timestep = runner.reset()
    function = tf.function(runner.step, autograph=False)
    graph = function.get_concrete_function(episodes, timestep.observation, tf.constant(1, tf.int64)).graph
    assert max(np.prod(node.outputs[0].shape) for node in graph.get_operations() if node.type == "Const") < 1000
    assert any(captured.shape == [26_000] and captured.dtype == tf.uint8 for captured, _ in graph.captures)


@pytest.mark.parametrize(("length", "episodes"), [(5, 1), (8, 1), (9, 2), (32, 7), (33, 8), (1000, 8)])
def test_a_pass_is_as_many_stretches_as_have_a_window_each_but_no_more_than_eight(length, episodes):
    environment = Text(text="ab" * 500, test=(1000 - length) / 1000, window=4)
    assert environment.spec.num_episodes == episodes
    HostedEnvironment(environment, episodes).reset(0)
    if episodes < 8:
        with pytest.raises(errors.UsageError, match="expected at least"):
            HostedEnvironment(environment, episodes + 1).reset(0)


# ---- windows ------------------------------------------------------------------------------------------------------------


def test_every_window_in_order(compiled):
    environment = Text(text="abcdef", split="all", test=0.0, window=2, windows="every")
    assert environment.spec.num_episodes == 4
    assert environment.spec.action.choices == ()
    runner = Autoreset(environment, 3, 0)
    step = compiled(runner.step)
    episodes, timestep = runner.reset()
    assert timestep.observation.numpy().tolist() == [[1, 2], [2, 3], [3, 4]]
    episodes, timestep = step(episodes, tf.constant([3, 3, 5], tf.int64), tf.constant(1, tf.int64))
    assert timestep.target.numpy().tolist() == [3, 4, 5]
    assert timestep.reward.numpy().tolist() == [1.0, 0.0, 1.0]
    assert timestep.terminated.numpy().all()
    assert timestep.observation.numpy().tolist() == [[4, 5], [1, 2], [2, 3]]  # four windows, then from the start again


def test_lines_are_episodes_of_their_own(compiled):
    environment = Text(text="abc\n\nde\nfghijk\nlast", split="all", test=0.0, window=5, windows="lines")
    runner = Autoreset(environment, 64, 0)
    _, timestep = runner.reset()
    observed = timestep.observation
    _, timestep = compiled(runner.step)(runner.reset()[0], observed, tf.constant(1, tf.int64))
    vocabulary = environment.spec.vocabulary
    answers = {"abc\n": "bc\n", "de\n": "e\n", "fghij": "ghijk"}  # the last line has no end, and one is cut off
    for window, target in zip(observed.numpy(), timestep.target.numpy(), strict=True):
        line = next(line for line in answers if vocabulary.decode(window).startswith(line))
        judged = target[target >= 0]
        assert vocabulary.decode(judged) == answers[line]
        assert target.tolist() == [*judged, *[-1] * (5 - len(judged))]
    assert {tuple(row) for row in observed.numpy()[:, :1]} == {tuple(vocabulary.encode(letter)) for letter in "adf"}
    assert timestep.terminated.numpy().all()
    with pytest.raises(errors.UsageError, match="has no line to read"):
        Text(text="abcdef", split="all", test=0.0, window=3, windows="lines").initial(seeds.at(0, 0), 2)


def test_random_windows(compiled, assert_frequencies):
    environment = Text(text="abcdefg", split="all", test=0.0, window=3, windows="random")
    runner = Autoreset(environment, 20_000, 0)
    step = compiled(runner.step)
    episodes, timestep = runner.reset()
    first = timestep.observation.numpy()
    np.testing.assert_array_equal(first[:, 1:], first[:, :-1] + 1)
    episodes, timestep = step(episodes, timestep.observation[:, 0], tf.constant(1, tf.int64))
    np.testing.assert_array_equal(timestep.target.numpy(), first[:, -1] + 1)
    second = timestep.observation.numpy()
    assert_frequencies((first[:, 0] - 1) * 4 + second[:, 0] - 1, [1 / 16] * 16)


# ---- splits and units ---------------------------------------------------------------------------------------------------


def test_splits_follow_each_other_and_the_vocabulary_is_the_training_splits():
    text = "abababababababab" + "cc" + "dd"
    parts = {
        split: Text(text=text, split=split, validation=0.1, test=0.1, window=1) for split in ("train", "validation", "test")
    }
    first_values = {split: next(iter(read_through(part, 1)))[0] for split, part in parts.items()}
    assert {split: part.spec.vocabulary for split, part in parts.items()} == dict.fromkeys(parts, Characters("ab"))
    assert {split: values.tolist() for split, values in first_values.items()} == {
        "train": [[1]],
        "validation": [[0]],
        "test": [[0]],
    }
    assert len(read_through(parts["train"], 1)) == 15


def test_lower_case_and_bytes():
    assert Text(text="AbBa" * 5, lowercase=True, window=2).spec.vocabulary == Characters("ab")
    environment = Text(text="Éa" * 10, units="bytes", split="all", window=3)
    assert environment.spec.vocabulary == Bytes()
    assert HostedEnvironment(environment).reset(0).observation.tolist() == [[0xC3, 0x89, ord("a")]]


# ---- where texts come from ----------------------------------------------------------------------------------------------


def test_a_file_and_a_folder(tmp_path):
    (tmp_path / "b.txt").write_text("zweite", "utf-8")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c.md").write_text("erste ", "utf-8")
    (tmp_path / ".hidden").write_bytes(b"\xff")
    assert texts.read(str(tmp_path / "b.txt")) == b"zweite"
    assert texts.read(str(tmp_path)) == b"erste zweite"
    assert texts.decoded("\ufeffé".encode(), "x") == "é"


def test_the_python_docs_are_read_as_data():
    text = texts.decoded(texts.read("corpus:python-docs"), "docs")
    assert len(text) > 300_000
    assert 'The "assert" statement' in text


def test_nietzsche_is_found_in_the_users_folder_only_if_it_is_the_known_text(tmp_path, monkeypatch):
    monkeypatch.setenv(texts.FOLDER, str(tmp_path))
    (tmp_path / texts.NIETZSCHE).write_text("another text")
    with pytest.raises(errors.UsageError, match=r"it is not the known text. Remove it"):
        texts.read("corpus:nietzsche")
    monkeypatch.setattr(texts, "NIETZSCHE_SHA256", hashlib.sha256(b"another text").hexdigest())
    assert texts.read("corpus:nietzsche") == b"another text"


def test_nietzsche_is_downloaded_once(tmp_path, monkeypatch):
    asked = []

    def download(url):
        asked.append(url)
        return b"a text"

    monkeypatch.delenv(texts.FOLDER, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(texts, "NIETZSCHE_SHA256", hashlib.sha256(b"a text").hexdigest())
    monkeypatch.setattr(texts, "_download", download)
    assert [texts.read("corpus:nietzsche") for _ in range(2)] == [b"a text"] * 2
    assert asked == [texts.NIETZSCHE_URL]
    assert [path.name for path in (tmp_path / "cache" / "agentlab").iterdir()] == [texts.NIETZSCHE]


def test_without_a_network_the_ways_out_are_told(tmp_path, monkeypatch):
    def unreachable(url, timeout):
        raise urllib.error.URLError("no route to host")

    monkeypatch.delenv(texts.FOLDER, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(texts.urllib.request, "urlopen", unreachable)
    with pytest.raises(errors.UsageError, match=r"can't be downloaded: no route to host. Set AGENTLAB_DATA .* char-rnn-docs"):
        texts.read("corpus:nietzsche")
    assert list(tmp_path.iterdir()) == []


def write(path: pathlib.Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "can't be read: No such file or directory. Set environment.path to"),
        (b"", "is empty; name one of at least 65 characters."),
        (b"a" * 10 + b"\xe9t\xe9", "is not UTF-8: byte 0xe9 at offset 10. Convert it, or set environment.units=bytes."),
        (b"MZ\0\0", "is binary: it has a zero byte at offset 2. Name a text file, or"),
        (b"a" * 72, "has 65 characters; expected at least 129: a window of 64 for each of 2 streams. Give a longer"),
        (b"a" * 70, "has 63 characters; expected at least 65: a window of 64 and the one after it. Give a longer text"),
    ],
)
def test_bad_files_are_told_in_one_sentence(tmp_path, data, sentence):
    path = tmp_path / "text.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(errors.UsageError) as failure:
        Text(path=str(path)).initial(seeds.at(0, 0), 2)
    assert sentence in str(failure.value)
    assert repr(str(path)) in str(failure.value)


def test_bytes_take_any_file(tmp_path):
    environment = Text(path=write(tmp_path / "x", bytes(range(256)) * 2), units="bytes", window=4)
    assert HostedEnvironment(environment).reset(0).observation.tolist() == [[0, 1, 2, 3]]


def test_an_empty_folder_and_an_unknown_corpus(tmp_path):
    with pytest.raises(errors.UsageError, match="has no files to read"):
        Text(path=str(tmp_path)).spec  # noqa: B018
    with pytest.raises(errors.UsageError, match=r"No corpus named 'nietzshe'.*Did you mean 'nietzsche'"):
        Text(path="corpus:nietzshe").spec  # noqa: B018


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"text": ALPHABET, "test": 0.5, "validation": 0.5}, "must leave something to train on"),
        ({"text": ALPHABET, "window": 0}, "'window' must be >= 1"),
    ],
)
def test_impossible_settings_are_refused(values, sentence):
    with pytest.raises(errors.UsageError, match=sentence):
        settings.build(Text, values, "environment 'text'")


def in_folder(tmp_path, **contents):
    for name, data in contents.items():
        (tmp_path / f"{name}.txt").write_bytes(data)
    return str(tmp_path)


def test_each_file_of_a_folder_is_read_as_one_alone_would_be(tmp_path):
    """Its byte order mark is left out, and what is wrong with it is told with its own name and offset."""
    folder = in_folder(tmp_path, a="\ufeffab".encode(), b="\ufeffcd\r\n".encode(), c=b"", d=b"ef")
    assert Text(path=folder, window=1)._read() == "abcd\r\nef"
    assert Text(path=folder, window=1, units="bytes")._read() == b"\xef\xbb\xbfab\xef\xbb\xbfcd\r\nef"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"ok\xff", "b.txt' can't be read: it is not UTF-8: byte 0xff at offset 2. Convert it"),
        (
            "é".encode()[:1],
            "b.txt' can't be read: it is not UTF-8: byte 0xc3 at offset 0. Convert it",
        ),  # a half, of which c.txt begins with the other
        (b"\xef\xbb\xbfok\xff", "b.txt' can't be read: it is not UTF-8: byte 0xff at offset 5. Convert it"),
        ("text".encode("utf-16"), "b.txt' can't be read: it is UTF-16; expected UTF-8. Convert it"),
        ("text".encode("utf-32"), "b.txt' can't be read: it is UTF-32; expected UTF-8. Convert it"),
        (b"a\0", "b.txt' is binary: it has a zero byte at offset 1. Name a text file"),
    ],
)
def test_a_bad_file_of_a_folder_is_named(tmp_path, data, sentence):
    folder = in_folder(tmp_path, a=b"fine", b=data, c="é".encode()[1:])
    with pytest.raises(errors.UsageError) as failure:
        Text(path=folder)._read()
    assert sentence in str(failure.value)


ODD = {
    "a link": lambda path, secret: path.symlink_to(secret),
    "a link to nothing": lambda path, secret: path.symlink_to(secret.with_name("nothing")),
    "a link to a folder": lambda path, secret: path.symlink_to(secret.parent),
    "a pipe": lambda path, secret: os.mkfifo(path),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("place", ["b.txt", "below/b.txt"])
def test_a_folder_with_a_link_or_a_pipe_is_refused(tmp_path, odd, place):
    secret = tmp_path / "home" / "secret.txt"
    folder = tmp_path / "folder"
    for path in (secret, folder / "a.txt", folder / "below" / "c.txt"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("text")
    ODD[odd](folder / place, secret)
    with pytest.raises(errors.UsageError, match=r"b.txt is (a symbolic link, which is not followed|not a plain file)\. Set"):
        texts.read(str(folder))


@pytest.mark.parametrize("place", ["text.txt", "folder"])
def test_a_text_the_user_names_by_a_link_is_read(tmp_path, place):
    (tmp_path / "real" / "folder").mkdir(parents=True)
    (tmp_path / "real" / "text.txt").write_text("text")
    (tmp_path / "real" / "folder" / "a.txt").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "real" / place)
    assert texts.read(str(tmp_path / "link")) == b"text"


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/tty", "pipe", "nul\0", "x" * 5_000, "sparse", "sparse folder"])
def test_what_is_no_file_or_larger_than_the_memory_is_told_at_once(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    pathlib.Path("sparse folder").mkdir()
    for file in ("sparse", "sparse folder/x"):
        pathlib.Path(file).touch()
        os.truncate(file, 2**43)
    with pytest.raises(
        errors.UsageError,
        match=r"not a plain file|can't be read|takes .* bytes .* only .* are free|path .* (too long|zero character)",
    ):
        Text(path=path)._read()


@pytest.mark.parametrize("units", ["characters", "bytes"])
def test_a_lone_surrogate_is_told(units):
    with pytest.raises(errors.UsageError, match=r"Text given has a lone surrogate, '\\ud800', at character 2, .*Remove it"):
        Text(text="ab\ud800" * 90, units=units)._read()
    with pytest.raises(errors.UsageError, match=r"has a lone surrogate, '\\ud800', at character 1, .*Remove it"):
        Bytes().encode("a\ud800")


# ---- echo ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("windowed", [True, False])
def test_echo_shows_the_last_action(compiled, windowed):
    environment = Echo(5, windowed)
    runner = Autoreset(environment, 3, 0)
    episodes, timestep = runner.reset()
    assert timestep.observation.numpy().tolist() == [[0], [0], [0]]
    action = tf.reshape(tf.constant([4, 0, 2], tf.int64), [3, *environment.spec.action.choices])
    episodes, timestep = compiled(runner.step)(episodes, action, tf.constant(1, tf.int64))
    assert timestep.observation.numpy().tolist() == [[4], [0], [2]]
    assert not timestep.reward.numpy().any()
    assert not timestep.terminated.numpy().any()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_that_nothing_was_held_out_for_is_named(split):
    with pytest.raises(errors.UsageError, match=f"{split} split of text given is empty, since environment.{split} is 0"):
        Text(text="ab" * 500, split=split, validation=0.0, test=0.0).initial(seeds.at(0, 0), 1)
