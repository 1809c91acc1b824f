"""Media of evaluations and histograms of weights: what trackers get of them, the files, and that no weight changes by them."""

import attrs
import gymnasium
import numpy as np
import pytest
import tensorflow as tf

import agentlab
from agentlab import errors
from agentlab.runs.composition.showcases import MOST_FRAMES, FilmedEnvironment
from agentlab.runs.trackers.media_files import grid
from agentlab.tracker import Histogram, Tracker
from agentlab.types import TimeStep

CHANGES = {
    "environment": {"id": "Painted-v0"},
    "model": {"name": "mlp", "hidden_units": [8]},
    "trainer": {"learning_starts": 32, "update_period": 16},
    "memory": {"capacity": 500, "batch_size": 16},
    "normalization": {"observations": False},
    "steps": 200,
    "report_period": 100,
    "checkpoint_period": 80,
    "evaluation": {"episodes": 1},
    "execution": "graph",
}


class Painted(gymnasium.Env):
    """Ends after five steps; its pictures have the number of the step."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode=None, blank=False):
        self.render_mode, self.blank = render_mode, blank

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self.np_random.random(2, np.float32), {}

    def step(self, action):
        self.count += 1
        return self.np_random.random(2, np.float32), float(action), self.count == 5, False, {}

    def render(self):
        return None if self.blank else np.full([4, 6, 3], self.count, np.uint8)


gymnasium.register("Painted-v0", Painted)


@attrs.define(slots=False, eq=False)
class Recorder(Tracker):
    """Keeps all media by name and step."""

    contents: dict = attrs.field(factory=dict)

    def line(self, metrics):
        pass

    def media(self, name, content, step):
        self.contents[name, step] = content


def run(directory, recorder, **changes):
    return agentlab.run("dqn", 3, {**CHANGES, **changes}, run_dir=directory, trackers=[recorder])


def weights(run):
    return {name: value.numpy() for name, value in run.agent.variables().items()}


@pytest.mark.slow
def test_trackers_get_episodes_and_histograms_and_no_weight_changes(tmp_path):
    plain, recorder = run(tmp_path / "plain", Recorder()), Recorder()
    followed = run(tmp_path / "run", recorder, histograms=True, evaluation={"episodes": 1, "media_period": 150})
    for name, value in weights(plain).items():
        np.testing.assert_array_equal(value, weights(followed)[name], err_msg=name)

    # The pictures of what the agent acted on, at 150 and at the end.
    episodes = {step: content for (name, step), content in recorder.contents.items() if name == "evaluation/episode"}
    assert list(episodes) == [150, 200]
    for frames in episodes.values():
        np.testing.assert_array_equal(frames, np.full([5, 4, 6, 3], np.arange(5)[:, None, None, None]))
    assert sorted(path.name for path in (tmp_path / "run" / "media").iterdir()) == [
        "evaluation_episode-150.png",
        "evaluation_episode-200.png",
    ]
    assert not (tmp_path / "plain" / "media").exists()

    # Histograms count every weight at each report.
    shapes = {weight.path: weight.shape for weight in followed.agent.parts.models["values"][0].weights}
    for step in (100, 200):
        counted = {name: entry for (name, at), entry in recorder.contents.items() if name.startswith("weights/") and at == step}
        assert {name.removeprefix("weights/values/0/"): entry.counts.sum() for name, entry in counted.items()} == {
            path: np.prod(shape) for path, shape in shapes.items()
        }
    assert_events_have(tmp_path / "run", recorder)


def assert_events_have(directory, recorder):
    (file,) = (directory / "events").iterdir()
    messages = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        messages |= {(value.tag, event.step): value.histo for value in event.summary.value if value.HasField("histo")}
    histograms = {place: content for place, content in recorder.contents.items() if isinstance(content, Histogram)}
    assert messages.keys() == histograms.keys()
    for place, message in messages.items():
        assert message.bucket_limit == pytest.approx(histograms[place].edges)
        assert list(message.bucket) == [0, *histograms[place].counts]


@pytest.mark.slow
def test_a_run_on_text_shows_what_it_writes(tmp_path):
    (tmp_path / "text.txt").write_text("to be or not to be, that is the question. " * 20)
    changes = {
        "environment": {"path": str(tmp_path / "text.txt"), "window": 8},
        "model": {"name": "lstm", "units": 4},
        "num_environments": 4,
        "steps": 64,
        "report_period": 64,
        "execution": "graph",
    }
    runs = [
        agentlab.run("char-rnn", 3, {**changes, "evaluation": {"media_period": period}}, run_dir=tmp_path / str(period))
        for period in (0, 32)
    ]
    for name, value in weights(runs[0]).items():
        np.testing.assert_array_equal(value, weights(runs[1])[name], err_msg=name)
    texts = {path.name: path.read_text() for path in (tmp_path / "32" / "media").iterdir()}
    assert texts.keys() == {"evaluation_text-32.txt", "evaluation_text-64.txt"}
    assert {len(text) for text in texts.values()} == {400}
    assert set("".join(texts.values())) <= {*(tmp_path / "text.txt").read_text(), "\ufffd"}  # what isn't in the vocabulary


def test_an_environment_without_pictures_is_refused_before_training(tmp_path):
    changes = {"environment": {"name": "identity"}, "evaluation": {"episodes": 1, "media_period": 50}}
    with pytest.raises(errors.UsageError, match=r"'identity' has no pictures to show; .* set evaluation\.media_period to 0"):
        run(tmp_path / "run", Recorder(), **changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*RGB-array rendering should return a numpy array:UserWarning")  # of Gymnasium
def test_an_environment_that_draws_nothing_does_not_end_the_run(tmp_path):
    recorder = Recorder()
    blank = {"id": "Painted-v0", "arguments": {"blank": True}}
    with pytest.warns(errors.RunWarning, match="no media of step 200: The environment 'Painted-v0' returned no picture"):
        run(tmp_path / "run", recorder, environment=blank, evaluation={"episodes": 1, "media_period": 500})
    assert recorder.contents == {}


def test_a_film_of_a_long_episode_keeps_frames_of_even_distance():
    class Counting:
        def reset(self, seed):
            self.number = 0

        def step(self, action):
            self.number += 1
            return TimeStep(*np.zeros((6, 1), np.bool_))

        def render(self):
            return np.full([1, 1, 3], self.number % 256, np.uint8)

    film = FilmedEnvironment(Counting())
    film.reset(0)
    for _ in range(1_000):
        film.step(0)
    numbers = film.frames()[:, 0, 0, 0].astype(int)
    assert MOST_FRAMES <= len(numbers) < 2 * MOST_FRAMES
    np.testing.assert_array_equal(numbers, np.arange(0, 1_001, 8) % 256)


def test_a_picture_of_an_episode_has_means_of_squares_in_rows():
    frames = np.zeros([9, 240, 4, 3], np.uint8)
    frames[1, 1, 2:] = 100  # a line of one pixel: half of the square that it is in
    frames[8] = 7
    decoded = tf.io.decode_png(grid(frames)).numpy()
    assert decoded.shape == (120 + 2 + 120, 4 * 2 + 3 * 2, 3)
    expected = np.zeros(decoded.shape, np.uint8)
    expected[0, 5] = 50
    expected[122:, 12:] = 7
    expected[120:122] = 128
    for column in (2, 6, 10):
        expected[:, column : column + 2] = 128
    np.testing.assert_array_equal(decoded, expected)


def test_a_short_episode_fills_what_there_is():
    decoded = tf.io.decode_png(grid(np.full([5, 3, 2, 3], 9, np.uint8))).numpy()
    assert decoded.shape == (3 + 2 + 3, 4 * 2 + 3 * 2, 3)
    assert (decoded[5:, :2] == 9).all()
    assert (decoded[5:, 2:] == 128).all()
    assert tf.io.decode_png(grid(np.full([1, 3, 2, 3], 9, np.uint8))).numpy().shape == (3, 2, 3)
