"""A stranger's config asks: whatever command opens its run, nothing is imported, run, written elsewhere or built too large."""

import functools
import random
import sys

import pytest

import hostile_configs
import hostile_settings
import untrusted
from agentlab.system import screen
from hostile_configs import ATTACKS, COMMANDS, NAMES, PAYLOAD

REACHING = {  # the commands that an attack by these settings reaches; the others succeed without looking at them
    "environment": ("evaluate", "resume", "run"),
    "evaluation": ("evaluate", "resume", "run"),
    "memory": ("resume", "run"),
    "trainer": ("load", "evaluate", "resume", "run"),
    "model": ("load", "evaluate", "resume", "run"),
    "models": ("load", "evaluate", "resume", "run"),
    "spec": ("load", "evaluate"),
    "trackers": ("resume", "run"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    return functools.cache(lambda base: hostile_configs.make_run(base, folder))


@pytest.fixture(scope="module", autouse=True)
def no_screen():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
            patch.delenv(name, raising=False)
        screen._opens.cache_clear()
        screen._opens()  # asks in a process of its own
        yield
        screen._opens.cache_clear()


@pytest.fixture
def payload(tmp_path_factory, monkeypatch):
    """A module on the path that tells when it is imported."""
    folder = tmp_path_factory.mktemp("payload")
    (folder / f"{PAYLOAD}.py").write_text("import pathlib\npathlib.Path(__file__).with_name('imported').touch()\n")
    monkeypatch.syspath_prepend(folder)
    yield folder / "imported"
    sys.modules.pop(PAYLOAD, None)


def reached(attack):
    part = ATTACKS[attack][1].partition(".")[0]
    return REACHING.get(part, ("load", "evaluate", "resume", "run"))


HARMLESS = ("nesting", "a whole number of digits", "mappings that are allowed", "bounds in bounds")  # which may be opened
ONE_OF_EACH = (  # of those that one rule refuses; all of them take minutes
    "a function of Keras that downloads",
    "a module",
    "a window",
    "a server to send a run to",
    "a zero character in a task",
    "a message of megabytes",
    "layers",
    "a memory",
    "a budget",
    "nesting",
    "an observation",
    "bits",
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::agentlab.errors.RunWarning")
@pytest.mark.parametrize(
    "attack", [attack if attack in ONE_OF_EACH else pytest.param(attack, marks=pytest.mark.slow) for attack in ATTACKS]
)
def test_what_a_config_asks_for_is_refused_by_whatever_opens_its_run(runs, attack, tmp_path, payload, full):
    run = hostile_configs.attacked(runs(ATTACKS[attack][0]), attack, tmp_path)
    commands = COMMANDS if full else [random.Random(attack).choice(reached(attack))]
    codes = {command: hostile_configs.opened(command, run) for command in commands}
    assert not payload.exists()
    if attack not in HARMLESS:
        for command in set(commands) & set(reached(attack)):
            assert codes[command][0] == 2, (command, codes[command])


def test_names_are_quoted_and_messages_are_short(runs, tmp_path):
    for number, attack in enumerate(NAMES):
        if "cursor" in attack or "megabytes" in attack:
            run = hostile_configs.attacked(runs("value"), attack, tmp_path / str(number))
            code, text = hostile_configs.opened("evaluate", run)
            assert code == 2
            assert "\x1b" not in text
            assert len(text) < 3_000


def test_the_guard_notices_code_and_files_elsewhere(tmp_path):
    inside, outside = tmp_path / "run", tmp_path / "elsewhere.py"
    inside.mkdir()
    outside.write_text("x = 1\n")
    untrusted.GUARD.folder = str(inside)
    code = compile("x = 1", str(outside), "exec")
    try:
        assert untrusted.trips(lambda: outside.write_text("y"))
        assert untrusted.trips(lambda: (tmp_path / "made").mkdir())
        assert untrusted.trips(lambda: exec(code))
        assert not untrusted.trips(lambda: (inside / "file").write_text("mine"))
        assert not untrusted.trips(lambda: outside.read_text())
    finally:
        untrusted.GUARD.folder = ""


def settings_tried(full):
    cases = [(*case, index) for case in hostile_settings.cases() for index in range(len(hostile_settings.VALUES))]
    return cases if full else random.Random(0).sample(cases, 80)


@pytest.mark.slow
def test_any_setting_of_any_installed_part_is_built_or_refused(full):
    refused = 0
    for kind, name, setting, index in settings_tried(full):
        try:
            refused += hostile_settings.outcome(kind, name, {setting: hostile_settings.VALUES[index]}) == "refused"
        except BaseException as error:
            raise AssertionError(f"{kind} {name}: {setting} as value {index}: {type(error).__name__}: {error}"[:500]) from error
    assert refused > 25
