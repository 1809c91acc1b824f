"""The command line program: what it prints, what it exits with, and how it stops."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from agentlab.program import cli, task_choice
from agentlab.program.cli import main
from agentlab.task import PART_KINDS, Task, part

SMALL = [
    "run",
    "dqn",
    "--environment",
    "identity",
    "--steps",
    "200",
    "--set",
    "trainer.learning_starts=50",
    "--execution",
    "graph",
]
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


def program(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "agentlab", *arguments], capture_output=True, text=True, env=ENVIRONMENT, timeout=120, **options
    )


@pytest.mark.slow
def test_run_evaluate_and_play(tmp_path, monkeypatch, capsys):
    ran = program(*SMALL, "--run-dir", "run", "--set", "evaluation.episodes=5", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    *beginning, progress, summary, files = ran.stdout.partition("\nNext:\n")[0].splitlines()
    assert len(beginning) == 2
    assert progress.startswith("step       200 of 200  ")
    assert summary.startswith("dqn: return ")
    assert files == "Files in run"
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "run"]) == 0  # in another process than the one that trained
    assert capsys.readouterr().out.startswith(summary.split(";")[0]), "the same episodes of the same policy"
    assert main(["play", "run", "--video", "a.gif"]) == 2
    assert "Environment 'identity' has no pictures to show" in capsys.readouterr().err


@pytest.mark.slow
def test_quiet_prints_the_result_only(tmp_path, capsys):
    assert main([*SMALL, "--quiet", "--run-dir", str(tmp_path / "run")]) == 0
    output, complaint = capsys.readouterr()
    assert len(output.splitlines()) == 2
    assert complaint == ""


@pytest.mark.slow
def test_a_bar_on_a_terminal(tmp_path, monkeypatch):
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    monkeypatch.setenv("COLUMNS", "120")  # on narrower ones there is no room for the loss
    ours, theirs = pty.openpty()
    chunks = []
    reader = threading.Thread(target=lambda: chunks.extend(iter(lambda: _read(ours), b"")))
    reader.start()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        assert main([*SMALL, "--run-dir", str(tmp_path / "run")]) == 0
        monkeypatch.undo()
    reader.join()
    os.close(ours)
    output = b"".join(chunks)
    assert b"100%" in output
    assert b"step/s" in output
    assert b"return=" in output
    assert b"loss=" in output


def _read(file):
    try:
        return os.read(file, 4096)
    except OSError:  # Linux's word for the end of a terminal
        return b""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_a_checkpoint(tmp_path, monkeypatch, capsys, number, code):
    monkeypatch.chdir(tmp_path)
    metrics = tmp_path / "run" / "metrics.jsonl"

    def send():
        _wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 2)
        os.kill(os.getpid(), number)

    sender, before = threading.Thread(target=send), signal.getsignal(number)
    sender.start()
    assert main([*SMALL, "--steps", "100000000", "--run-dir", "run", "--set", "report_period=500"]) == code
    sender.join()
    assert signal.getsignal(number) is before
    complaint = capsys.readouterr().err
    assert re.search(
        r"Interrupted at step ([\d,]+) of 100,000,000\. The newest checkpoint is of step \1: 'agentlab resume run'", complaint
    )
    assert "Traceback" not in complaint
    assert len(list((tmp_path / "run" / "checkpoints").glob("step-*"))) == 1


@pytest.mark.slow
def test_a_second_signal_ends_the_program_at_once_and_the_run_goes_on_from_what_was_committed(tmp_path, capsys):
    command = [*SMALL, "--steps", "1000000", "--run-dir", "run", "--set", "checkpoint_period=200"]
    process = subprocess.Popen(
        [sys.executable, "-m", "agentlab", *command], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    _wait_for(lambda: list((tmp_path / "run").glob("checkpoints/step-*")))
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace('"steps": 1000000', '"steps": 2000'))
    for path in (tmp_path / "run" / "checkpoints").glob("step-*"):
        if int(path.name[5:]) > 2_000:
            shutil.rmtree(path)
    assert main(["resume", str(tmp_path / "run"), "--quiet"]) == 0
    assert "2,000 steps" in capsys.readouterr().out


@pytest.mark.slow
def test_a_runs_config_runs_it_again_to_the_same_bits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "--quiet", "--seed", "3", "--run-dir", "one"]) == 0
    assert main(["run", "--config", "one/config.json", "--quiet", "--run-dir", "other"]) == 0
    for name in ("agent", "memory", "loop"):
        files = [tmp_path / run / "checkpoints" / "step-200" / f"{name}.safetensors" for run in ("one", "other")]
        assert files[0].read_bytes() == files[1].read_bytes()
    config = tmp_path / "one" / "config.json"
    config.write_text(config.read_text().replace('"keras": "', '"keras": "1.'))
    capsys.readouterr()
    assert main(["run", "--config", "one/config.json", "--quiet", "--run-dir", "third"]) == 0
    assert re.match(
        r"agentlab: warning: Something has changed since that run was begun.*: keras 1\..* then", capsys.readouterr().err
    )
    assert main(["resume", "other", "--quiet", "--steps", "300"]) == 0
    assert "300 steps" in capsys.readouterr().out


def test_a_task_beside_a_runs_config_is_its_own_and_the_seed_is_the_configs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    parts = {kind: part("any") for kind in PART_KINDS}
    config = {"seed": 3, "task": Task("mine", "A task that is installed nowhere.", **parts).as_data()}
    pathlib.Path("config.json").write_text(json.dumps(config))

    def resolve(*arguments):
        resolved, seed = task_choice.resolve_task(cli._parser().parse_args(["run", *arguments, "--config", "config.json"]))
        return resolved.name, resolved.steps, seed

    assert resolve() == resolve("mine") == resolve("package:mine") == ("mine", 50_000, 3)
    assert resolve("mine", "--seed", "0", "--steps", "7") == ("mine", 7, 0)
    assert main(["run", "dqn", "--config", "config.json"]) == 2
    assert capsys.readouterr().err == (
        "agentlab: TASK is 'dqn', but 'config.json' is of a run of 'mine'. Leave TASK out to run that.\n"
    )


def test_without_a_task_a_config_that_is_not_there_is_the_complaint(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--config", "my.toml"]) == 2
    assert capsys.readouterr().err == (
        "agentlab: Config file 'my.toml' can't be used: my.toml is missing. Name an existing TOML file.\n"
    )
    pathlib.Path("my.toml").write_text("steps = 10")
    assert main(["run", "--config", "my.toml"]) == 2
    assert "The following arguments are required: TASK" in capsys.readouterr().err


def _wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("rnu", "invalid choice: 'rnu'.*Did you mean 'run'"),
        ("run dqn --stpes 3", "--stpes.*Did you mean '--steps'"),
        ("run dqn-cartpol", "No task named 'dqn-cartpol'. Installed, among .*Did you mean 'dqn-cartpole'"),
        ("run dqn --set trainer.learning_rat=1", "No setting named 'learning_rat'.*Did you mean 'learning_rate'"),
        ("run dqn --set trainer.learning_rate=fast", "'learning_rate' of trainer 'dqn' is 'fast'; expected a number"),
        ("run dqn --set trainer.discount=2", "'discount' must be <= 1: 2.0"),
        ("run dqn --set stps=3", "No setting named 'stps'.*Did you mean 'steps'"),
        ("run dqn --set evaluation.episode=3", "No setting named 'episode'.*Did you mean 'episodes'"),
        ("run dqn --set steps", "expected PART.SETTING=VALUE"),
        ("run dqn --steps 0", "'steps' must be >= 1: 0"),
        ("run dqn --steps many", "invalid int value: 'many'"),
        ("run dqn --model mpl", "No model named 'mpl'.*Did you mean 'mlp'"),
        ("run dqn --gear fast", "invalid choice: 'fast'"),
        ("run dqn --gear device", "runs on the host. Use gear host"),
        ("run dqn --config missing.toml", "'missing.toml' can't be used: missing.toml is missing"),
        (
            "run dqn --set environment.id=CartPoel-v1",
            "No Gymnasium environment named 'CartPoel-v1'.*Did you mean 'CartPole-v1'",
        ),
        ("run dqn --set environment.id=Pendulum-v1", "DQN needs discrete actions; environment 'Pendulum-v1' takes"),
        ("run dqn --set model.hidden_units=[0]", "'hidden_units' must be >= 1: 0"),
        ("run dqn --set sampler.epsilon=1.5", "'epsilon' must be a probability, 0 to 1: 1.5"),
        ("run dqn --set sampler.epsilon.initial=1.5", "'epsilon' must be a probability, 0 to 1"),
        ("run dqn --set evaluation.environment.name=identity", "The evaluation environment 'identity' shows a .*; expected a"),
        (
            "run dqn --set evaluation.stop_return=inf --set evaluation.period=25",
            "evaluation.stop_return is inf; expected a finite",
        ),
        ("run dqn --set trainer.max_gradient_norm=inf", "trainer.max_gradient_norm is inf; expected a finite number"),
        ("run dqn --set environment.arguments.way=nan", "environment.arguments.way is nan; expected a finite.*in quotes"),
        (
            "plugin check agentlab:dqn --set discount=1",
            "task agentlab:dqn and trainer agentlab:dqn; choose one by --kind, such",
        ),
        ("plugin check agentlab --set discount=1", "and task .* and [0-9]+ others; name one as PACKAGE:NAME"),
        ("plugin check agentlab:dqn --kind memory", "'agentlab:dqn' names no memory, but task agentlab:dqn and trainer"),
        ("run dqn --run-dir /proc/nowhere", "'/proc/nowhere' can't be written"),
        ("run dqn --run-dir .", "exists; runs are never overwritten"),
        ("evaluate nowhere", "'nowhere' is not a run"),
        ("evaluate nowhere --episodes 0", "--episodes is 0; expected a whole number of at least 1"),
        ("play nowhere --video a.gif", "'nowhere' is not a run"),
        ("list tsk", "No kind named 'tsk'.*Did you mean 'task'"),
        ("info cartpol", "No task, part or package named 'cartpol'.*Did you mean 'cartpole'"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    output, complaint = capsys.readouterr()
    assert re.sub(r"^[\w-]+, seed 0: [\d,]+ steps\n", "", output) == ""  # the line that comes before anything is built
    assert complaint.startswith("agentlab: ")
    assert complaint.count("\n") == 1
    assert len(complaint) < 500
    assert re.search(sentence, complaint), complaint
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["run", ""],
        ["evaluate", ""],
        ["plugin", "new", ""],
        *(["run", "dqn", f"--{name}", ""] for name in ("run-dir", "config", "environment")),
    ],
    ids=" ".join,
)
def test_an_empty_name_is_refused_as_of_a_shells_variable_that_is_not_set(words, capsys):
    assert main(words) == 2
    assert "it is empty; expected a text" in capsys.readouterr().err


@pytest.mark.slow
def test_config_files(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("own.toml").write_text('steps = 96\n[environment]\nname = "identity"\n[trainer]\nlearning_starts = 8\n')
    assert main(["run", "dqn", "--config", "own.toml", "--set", "trainer.update_period=8", "--execution=graph", "--quiet"]) == 0
    config = json.loads(pathlib.Path("runs/dqn/0-1/config.json").read_text())["task"]
    assert (config["steps"], config["trainer"]["learning_starts"], config["trainer"]["update_period"]) == (96, 8, 8)
    assert main(["run", "dqn", "--config", "runs/dqn/0-1/config.json", "--quiet"]) == 0
    assert json.loads(pathlib.Path("runs/dqn/0-2/config.json").read_text())["task"] == config
    capsys.readouterr()
    pathlib.Path("broken.toml").write_text("steps = = 3")
    assert main(["run", "dqn", "--config", "broken.toml"]) == 2
    assert "is not valid" in capsys.readouterr().err


@pytest.mark.slow
def test_help_list_and_info_import_no_tensorflow():
    script = (
        "import sys; from agentlab.program.cli import main\n"
        "for words in ('list', 'list --json', 'info dqn', 'info cartpole'): main(words.split())\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'gymnasium', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_the_program_imports_tensorflow_without_what_it_does_not_use():
    script = (
        "import gc, sys; from agentlab.program import tensorflow_setup\n"
        "from agentlab.tensors.keras_settings import DISPENSABLE\n"
        "tensorflow_setup.import_runs()\n"
        "assert gc.isenabled() and gc.get_freeze_count() > len(gc.get_objects()), gc.get_freeze_count()\n"
        "assert not set(DISPENSABLE) & set(sys.modules), set(DISPENSABLE) & set(sys.modules)\n"
        "import matplotlib, scipy.stats, sklearn.datasets\n"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert process.returncode == 0, process.stderr


def test_list_names_every_part_and_its_package(capsys):
    assert main(["list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"task", "environment", "model", "trainer", "sampler", "memory", "tracker"} == {row["kind"] for row in rows}
    ours = [row for row in rows if row["package"] == "agentlab"]
    assert all(row["problem"] == "" and row["summary"] and row["version"] for row in ours)
    assert main(["list", "tasks"]) == 0
    assert "dqn-cartpole" in capsys.readouterr().out


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m agentlab list | head -1"
    process = subprocess.run(command, shell=True, capture_output=True, text=True, env=ENVIRONMENT)
    assert process.stdout == "tasks\n"
    assert process.stderr == ""
