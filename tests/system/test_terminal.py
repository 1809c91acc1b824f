"""Text for terminals: its width, its colours, and the line that says what is under way."""

import io
import os
import sys

import pytest

from agentlab.system import console, terminal


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def use_screen(monkeypatch):
    """Has a terminal of 60 columns with colours, in a test: in a fixture, pytest would take it back."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Screen()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


SENTENCE = "agentlab: " + "word " * 30 + "end."


def test_a_line_is_wrapped_between_words_on_a_terminal_and_stays_one_elsewhere(monkeypatch):
    use_screen(monkeypatch)
    lines = terminal.wrapped(SENTENCE, hanging=2).splitlines()
    assert max(map(len, lines)) <= 60
    assert all(line.startswith("  word") for line in lines[1:])
    assert " ".join(terminal.wrapped(SENTENCE).split()) == SENTENCE
    assert terminal.wrapped(SENTENCE, stream=io.StringIO()) == SENTENCE
    long = "x" * 200
    assert terminal.wrapped(long) == long  # a path that is broken up can't be copied


def test_no_terminal_is_too_narrow_for_words(monkeypatch):
    use_screen(monkeypatch)
    monkeypatch.setenv("COLUMNS", "1")
    assert terminal.columns() == terminal.NARROWEST
    assert terminal.columns(io.StringIO()) is None


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_headings_are_coloured_where_that_is_wanted(monkeypatch, name, value):
    use_screen(monkeypatch)
    assert terminal.styled("tasks", "heading") == "\033[1mtasks\033[0m"
    assert terminal.styled("tasks", "heading", io.StringIO()) == "tasks"
    monkeypatch.setenv(name, value)
    assert terminal.styled("tasks", "heading") == "tasks"


def test_a_line_that_is_printed_takes_the_place_of_the_status(monkeypatch):
    screen = use_screen(monkeypatch)
    with terminal.show_status("compiling"):
        console.print_line("A warning.", sys.stderr)
    text = screen.getvalue()
    assert text.startswith(f"{terminal.ERASE}compiling 0 s{terminal.ERASE}A warning.\n")
    assert text.endswith(terminal.ERASE)
    assert terminal.Status.current is None


def test_a_pipe_gets_no_status(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with terminal.show_status("compiling"):
        pass
    assert stream.getvalue() == ""


def test_a_terminal_that_is_gone_is_no_error(monkeypatch):
    """Standard error leads to a pipe that nobody reads any more, and says it is a terminal."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(terminal, "is_terminal", lambda _: True)
        with terminal.show_status("compiling"):
            os.close(reading)
    assert terminal.Status.current is None
