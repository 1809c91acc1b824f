"""`agentlab play`: figures in the pictures, GIF and MP4, data sets and text."""

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

import agentlab
from agentlab import errors
from agentlab.loop.autoreset import HostedEnvironment
from agentlab.program import films
from agentlab.program.cli import main
from agentlab.registry import plugins
from agentlab.runs.composition import has_pictures
from agentlab_envs.data.images import Images
from agentlab_envs.minatar.breakout import MinAtarBreakout

QUICK = {"steps": 320, "execution": "graph", "evaluation": {"episodes": 2}}
PICTURES = [np.full((20, 30, 3), 40 * shade, np.uint8) for shade in range(5)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A classifier, hardly trained."""
    return agentlab.run("classifier-digits", 0, QUICK, run_dir=tmp_path_factory.mktemp("play") / "run")


def test_samples_of_a_data_set_are_printed_with_answers(run, capsys):
    assert main(["play", str(run.directory), "--episodes", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    answers = [line for line in lines if line.startswith("answer ")]
    labels = Images(split="test", shuffle=False).arrays()[1]
    assert [int(line.rpartition(" ")[2]) for line in answers] == labels[:3].tolist()
    rewards = [float(line.split()[1].strip(",") == line.split()[-1]) for line in answers]
    assert lines[-1] == f"return {', '.join(f'{reward:g}' for reward in rewards)}."
    assert any("@" in line for line in lines)


def test_settings_can_be_changed_for_the_film(run, capsys):
    words = ["play", str(run.directory), "--episodes", "2", "--set", "evaluation.environment.split=train"]
    assert main(words) == 0
    answers = [line for line in capsys.readouterr().out.splitlines() if line.startswith("answer ")]
    assert [int(line.rpartition(" ")[2]) for line in answers] == Images(split="train").arrays()[1][:2].tolist()
    assert main(["play", str(run.directory), "--set", "evaluation.sampler.nothing=1"]) == 2
    assert "No setting named 'nothing'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_samples_of_a_data_set_are_filmed(run, tmp_path, suffix):
    video = tmp_path / f"a.{suffix}"
    assert len(agentlab.play(run, 3, str(video))) == 3
    if suffix == "gif":
        with Image.open(video) as image:
            assert image.n_frames == 3
            assert image.info["duration"] == 1000
    else:
        assert imageio_ffmpeg.count_frames_and_secs(str(video)) == (3, pytest.approx(3.0))


@pytest.mark.slow
def test_a_text_is_written(tmp_path, capsys):
    run = agentlab.run("char-rnn-docs", 0, {**QUICK, "model": {"units": 8}}, run_dir=tmp_path / "run")
    assert main(["play", str(run.directory)]) == 0
    assert len(capsys.readouterr().out) >= 400


def test_what_has_neither_pictures_nor_text_is_evaluated():
    assert has_pictures(plugins.load("task", "dqn-cartpole"))
    assert has_pictures(plugins.load("task", "ppo-minatar-breakout"))
    assert not has_pictures(plugins.load("task", "ppo-lstm-recall"))


def test_a_caption_is_below_the_enlarged_picture():
    image = np.asarray(films.captioned(np.full((15, 25, 3), 7, np.uint8), "step 1"))
    assert image.shape == (150 + films.LINE, 250, 3)  # ten times as large
    assert (image[:150] == 7).all()
    assert (image[150:] > 150).any()
    assert films.captioned(np.zeros((301, 401, 3), np.uint8), "").size == (402, 302 + films.LINE)


@pytest.mark.parametrize("suffix", films.FILMS)
def test_a_film_has_every_picture(tmp_path, suffix):
    file = str(tmp_path / f"film{suffix}")
    film = films.film_class(file)(file, 0.5)
    for picture in PICTURES:
        film.add(picture, "step 1")
    film.close()
    assert film.num_pictures == 5
    assert not film.is_drawn
    assert (tmp_path / f"film{suffix}").stat().st_size > 100


@pytest.mark.parametrize(
    ("module", "suffix", "what"), [("PIL", "gif", "a GIF needs Pillow"), ("imageio_ffmpeg", "mp4", "an MP4 needs")]
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path, module, suffix, what):
    find = films.importlib.util.find_spec
    monkeypatch.setattr(films.importlib.util, "find_spec", lambda name: None if name == module else find(name))
    with pytest.raises(errors.UsageError, match=rf"{what}.*pip install 'agentlab\[play\]'"):
        films.film_class(str(tmp_path / f"a.{suffix}"))


@pytest.mark.parametrize("name", ["a.webm", "folder.gif", "nowhere/a.gif"])
def test_a_file_that_cannot_be_written_is_refused(tmp_path, name):
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(errors.UsageError, match="can't be written; expected a FILE"):
        films.film_class(str(tmp_path / name))


@pytest.mark.parametrize("environment", [MinAtarBreakout(), Images()], ids=["minatar", "images"])
def test_device_environments_draw_themselves(environment):
    hosted = HostedEnvironment(environment, 2)
    hosted.reset(0)
    picture = hosted.render()
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert len(np.unique(picture)) > 1
