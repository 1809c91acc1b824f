"""docs/supervised.md does what it says: its Python runs, and its table of crossings is what running them gives."""

import re
import runpy

import pytest

from paths import ROOT

DOCS = ROOT / "docs"
TEXT = (DOCS / "supervised.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's, as it saves a model
def test_its_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(block, "docs/supervised.md", "exec"), names)
    ours, theirs, own, top = [float(word) for word in capsys.readouterr().out.split()]
    assert min(ours, theirs) > 0.95
    assert abs(ours - theirs) < 0.025
    assert 0.9 < own <= top


@pytest.mark.slow
def test_the_table_of_crossings_is_what_running_them_gives():
    table = runpy.run_path(str(DOCS / "crossings.py"), run_name="crossings")["table"]
    assert table() in TEXT
