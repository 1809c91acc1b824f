"""What goes wrong while the program runs: one sentence, the exit code, and what was computed is kept."""

import json
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import traceback

import pytest
from PIL import Image

from agentlab import errors
from agentlab.program import films
from agentlab.program.cli import main
from agentlab.registry.packages import GROUPS
from agentlab.runs.trackers.progress import Progress
from agentlab.tracker import TrackedRun
from paths import HELPERS

SMALL = ["--quiet", "--set", "trainer.learning_starts=20", "--set", "evaluation.episodes=3", "--execution", "graph"]
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")


def one_sentence(complaint):
    assert complaint.startswith("agentlab: ")
    assert complaint.count("\n") == 1
    assert "Traceback" not in complaint
    return complaint


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def failing(here):
    shutil.copy((HELPERS / "failing_environment.py"), here)  # for other processes
    chosen = "environment.id=failing_environment:Failing-v0"
    return ["run", "dqn", *SMALL, "--steps", "100", "--set", chosen, "--run-dir", "run"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "sentence"),
    [("raise", "RuntimeError: the motor is on fire"), ("not a number", "observation.* is nan"), ("reward", "reward is nan")],
)
def test_an_environment_that_fails_keeps_what_was_computed(failing, here, capsys, way, sentence):
    assert main([*failing, "--set", f"environment.arguments.way={way}", "--set", "report_period=20"]) == 1
    output, errors_printed = capsys.readouterr()
    assert output == ""
    warning, complaint = errors_printed.splitlines(keepends=True)  # it counts steps over episodes, so that these don't repeat
    assert re.match("agentlab: warning: This run is not exactly resumable: of the environment '.*Failing-v0', trying", warning)
    assert re.search(f"Failing-v0 failed at vector step 50: row 0.*{sentence}", one_sentence(complaint))
    assert [json.loads(line)["step"] for line in (here / "run" / "metrics.jsonl").read_text().splitlines()] == [20, 40]
    assert complaint.endswith("The newest checkpoint is of step 40: 'agentlab resume run --trust' resumes from it.\n")
    assert sorted(path.name for path in (here / "run" / "checkpoints").iterdir()) == ["step-20", "step-30", "step-40"]
    assert not (here / "run" / "result.json").exists()


@pytest.mark.slow
def test_the_command_that_goes_on_after_an_environment_failed_works_as_it_is_advised(failing, here, capsys):
    main([*failing, "--set", "environment.arguments.way=raise", "--steps", "80"])
    advised = shlex.split(re.search("'agentlab (resume .*)' resumes", capsys.readouterr().err).group(1))
    assert main([word for word in advised if word != "--trust"]) == 2  # the environment's module is in no package's metadata
    assert "--trust" in one_sentence(capsys.readouterr().err)
    assert main([*advised, "--quiet"]) == 0  # the environment is a new one, of 40 steps
    assert (here / "run" / "result.json").exists()


@pytest.mark.slow
def test_debug_shows_the_traceback(failing):
    with pytest.raises(errors.EnvironmentFault) as failure:  # for the interpreter to show, which then exits with 1
        main([*failing, "--set", "environment.arguments.way=raise", "--debug"])
    text = "".join(traceback.format_exception(failure.value))
    assert "Traceback (most recent call last):" in text
    assert "the motor is on fire" in text
    assert "failing_environment.py" in text


def test_a_run_that_failed_or_never_was_is_told(here, capsys):
    (here / "run").mkdir()
    (here / "run" / "config.json").write_text("{}")
    for command in (["evaluate", "run"], ["play", "run", "--video", "a.gif"]):
        assert main(command) == 2
        assert "lacks a table 'task'" in one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize("id", ["no_such_module:Thing-v0", "CartPole-v7", ""])
def test_an_environment_that_is_not_installed_is_told(here, capsys, id):
    assert main(["run", "dqn", "--set", f'environment.id="{id}"']) == 2
    assert id in one_sentence(capsys.readouterr().err)
    assert not (here / "runs").exists()


@pytest.mark.parametrize(("id", "package", "extra"), [("LunarLander-v3", "Box2D", "box2d"), ("Hopper-v5", "mujoco", "mujoco")])
def test_an_environment_that_needs_an_extra_names_it(here, capsys, monkeypatch, id, package, extra):
    for name in [name for name in sys.modules if name.startswith((package, "gymnasium.envs.box2d", "gymnasium.envs.mujoco"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["run", "dqn", "--set", f"environment.id={id}"]) == 2
    sentence = one_sentence(capsys.readouterr().err)
    assert sentence.rstrip().endswith(f"{id} needs a package that is not installed: pip install 'agentlab[{extra}]'.")
    assert not (here / "runs").exists()


@pytest.mark.parametrize("id", ["Pendulum-v1", "MountainCarContinuous-v0"])
def test_continuous_actions_are_told(here, capsys, id):
    assert main(["run", "dqn", "--set", f"environment.id={id}"]) == 2
    assert f"DQN needs discrete actions; environment '{id}' takes" in one_sentence(capsys.readouterr().err)


def test_wrong_constructor_arguments_are_told(here, capsys):
    assert main(["run", "dqn", "--set", "environment.arguments.colour=red"]) == 2
    assert "colour" in one_sentence(capsys.readouterr().err)


@pytest.mark.slow
def test_a_directory_that_cannot_be_written(here, capsys):
    (here / "file").write_text("")
    assert main(["run", "dqn", "--run-dir", "file/run"]) == 2
    assert "'file/run' can't be written: Not a directory" in one_sentence(capsys.readouterr().err)
    (here / "runs").write_text("")
    assert main(["run", "dqn"]) == 2
    assert "can't be written" in one_sentence(capsys.readouterr().err)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of CartPole, hardly trained."""
    directory = tmp_path_factory.mktemp("trained") / "run"
    assert main(["run", "dqn", *SMALL, "--steps", "64", "--run-dir", str(directory)]) == 0
    return directory


@pytest.fixture
def screenless(monkeypatch):
    for name in SCREENS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.slow
def test_play_writes_a_gif_of_every_second_frame(trained, here, screenless, capsys):
    assert main(["play", str(trained), "--video", "a.gif", "--episodes", "2"]) == 0
    output, complaint = capsys.readouterr()
    assert complaint == ""
    values, where = output.strip().removeprefix("return ").split(". ")
    assert where == "Written to a.gif."
    returns = [float(value) for value in values.split(", ")]
    assert len(returns) == 2
    with Image.open("a.gif") as image:
        assert image.format == "GIF"
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(image.convert("RGB").tobytes())
        assert image.size == (600, 400 + films.LINE)  # and the line of figures
    assert len(set(frames)) > 3, "the pole moves"
    assert len(frames) <= sum((value + 1) // 2 + 1 for value in returns)  # of every second step, and of each end


@pytest.mark.slow
def test_play_is_the_same_every_time(trained, here, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert [main(["play", str(trained), "--video", f"{name}.gif"]) for name in ("a", "b")] == [0, 0]
    assert pathlib.Path("a.gif").read_bytes() == pathlib.Path("b.gif").read_bytes()


@pytest.mark.slow
def test_no_screen_is_told(trained, here, screenless, capsys):
    if not sys.platform.startswith("linux"):
        return
    assert main(["play", str(trained)]) == 2
    assert one_sentence(capsys.readouterr().err) == (
        "agentlab: There is no screen to open a window on; write a video instead: --video FILE.gif.\n"
    )


@pytest.mark.parametrize("video", ["nowhere/a.gif", "a.avi", "/proc/a.gif", ".gif/"])
def test_a_video_that_cannot_be_written(trained, here, capsys, video):
    assert main(["play", str(trained), "--video", video]) == 2
    assert f"--video {video!r} can't be written; expected a FILE.gif" in one_sentence(capsys.readouterr().err)


def test_a_video_over_a_directory(trained, here, capsys):
    (here / "a.gif").mkdir()
    assert main(["play", str(trained), "--video", "a.gif"]) == 2
    assert "'a.gif' can't be written" in one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize("episodes", ["0", "-1", "x", "1.5"])
@pytest.mark.parametrize("command", ["play", "evaluate"])
def test_a_wrong_number_of_episodes(trained, here, capsys, command, episodes):
    assert main([command, str(trained), "--episodes", episodes]) == 2
    assert "--episodes" in one_sentence(capsys.readouterr().err)


@pytest.mark.slow
def test_evaluate_takes_another_number_and_seed(trained, capsys):
    texts = []
    for seed in ("1", "1", "2"):
        assert main(["evaluate", str(trained), "--episodes", "7", "--seed", seed]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    assert "over 7 episodes" in texts[0]


@pytest.mark.slow
def test_without_any_standard_stream(here):
    """As a service runs it: standard input, output and error are closed."""
    command = f"{sys.executable} -m agentlab run dqn --environment identity {' '.join(SMALL[1:])} --steps 64 --run-dir run"
    process = subprocess.run(f"{command} <&- >&- 2>&-", shell=True, timeout=120)
    assert process.returncode == 0
    assert (here / "run" / "result.json").exists()


def test_a_reader_that_leaves_ends_a_run_quietly(here):
    process = subprocess.Popen(
        [sys.executable, "-m", "agentlab", "info", "dqn"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


LIST = "cli.COMMANDS = [Command('list', 'prints lines', lambda _: print('some lines'){}, lambda _: None)]"  # another `list`
ENDS = {
    "done": (LIST.format(""), 0, ""),
    "rules failed": (LIST.format(" or 1"), 1, ""),
    "a fault": (LIST.format(" or fail()"), 1, "agentlab: It broke.\n"),
    "help": ("sys.argv[1:] = ['--help']", 0, ""),
}


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("doing", "code", "complaint"), ENDS.values(), ids=ENDS)
def test_a_reader_that_left_changes_no_exit_code(monkeypatch, doing, code, complaint, both):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what was printed is written as the program ends
    fail = "def fail():\n    raise errors.TrainingFault('It broke.')\n"
    imports = "import sys\nfrom agentlab import errors\nfrom agentlab.program import cli\n"
    imports += "from agentlab.program.commands.command import Command\n"
    script = f"{imports}{fail}{doing}\nsys.exit(cli.main())"
    stderr = subprocess.STDOUT if both else subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", script, "list"], stdout=subprocess.PIPE, stderr=stderr, text=True)
    process.stdout.close()
    assert process.wait(60) == code
    if not both:
        assert process.stderr.read() == complaint
        process.stderr.close()


@pytest.mark.slow
def test_a_reader_that_leaves_does_not_end_the_training(here):
    command = [
        "run",
        "dqn",
        *SMALL[1:],
        "--environment",
        "identity",
        "--steps",
        "256",
        "--set",
        "report_period=64",
        "--run-dir",
        "run",
    ]
    process = subprocess.Popen([sys.executable, "-m", "agentlab", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    beginning = [process.stdout.readline() for _ in range(3)]  # the task and the directory come first
    assert beginning[-1].startswith(b"step")
    process.stdout.close()
    assert process.wait(120) == 0
    assert b"Error" not in process.stderr.read()
    process.stderr.close()
    assert json.loads((here / "run" / "result.json").read_text())["steps"] == 256


@pytest.mark.slow
def test_a_signal_is_heard_when_nobody_reads_what_is_said_to_it(here):
    command = ["run", "dqn", *SMALL[1:], "--environment", "identity", "--steps", "1000000", "--run-dir", "run"]
    command += ["--set", "report_period=64"]
    process = subprocess.Popen([sys.executable, "-m", "agentlab", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not process.stdout.readline().startswith(b"step"):
        pass
    process.stdout.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 143
    assert len(list((here / "run" / "checkpoints").glob("step-*"))) == 1


@pytest.mark.parametrize("kind", GROUPS)
def test_a_kind_is_listed_by_the_headings_of_the_list(kind, capsys):
    assert main(["list", kind]) == 0
    listed = capsys.readouterr().out
    assert main(["list", listed.splitlines()[0]]) == 0
    assert capsys.readouterr().out == listed


def test_the_bar_of_a_resumed_run_begins_where_it_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = Progress()
    progress.begin(TrackedRun({}, pathlib.Path(), 1_000, 400))
    assert (progress._bar.n, progress._bar.initial) == (400, 400)
    progress.end(None)


def test_an_interrupt_before_training_says_so(here, capsys, monkeypatch, ctrl_c):
    monkeypatch.setattr("agentlab.program.listing.rows", lambda *_: ctrl_c())
    assert main(["list"]) == 130
    assert "Interrupted; nothing was saved" in one_sentence(capsys.readouterr().err)


def test_a_bug_is_one_sentence_unless_debugging(monkeypatch, capsys):
    def fail(*_):
        raise LookupError("first line\nsecond line")

    monkeypatch.setattr("agentlab.program.listing.rows", fail)
    assert main(["list"]) == 1
    sentence = one_sentence(capsys.readouterr().err)
    assert "Unexpected LookupError: first line second line. Run again with --debug for the traceback." in sentence
    with pytest.raises(LookupError):
        main(["list", "--debug"])


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["run", "--help"], ["list", "--help"], ["play", "--help"], ["list"], ["info", "mlp"]]
)
def test_help_needs_no_tensorflow(words):
    script = (
        "import sys; from agentlab.program.cli import main\n"
        f"try: main({words!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'gymnasium', 'numpy', 'stevedore'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
