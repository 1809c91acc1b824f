"""What a notebook shows of a run."""

import re
import xml.etree.ElementTree as ET

import pytest

import agentlab
from agentlab.runs import notebook

CHANGES = {"steps": 640, "report_period": 64, "num_environments": 8, "execution": "graph", "evaluation": {"episodes": 2}}


def parsed(page):
    """Returns the elements of a page by name; raises for HTML that is no XML."""
    elements = {}
    for element in ET.fromstring(page).iter():
        elements.setdefault(element.tag, []).append(element)
    return elements


@pytest.mark.slow
def test_a_run_and_its_training_show_their_curve(tmp_path):
    with agentlab.train("classifier-digits", 0, CHANGES, run_dir=tmp_path / "run") as training:
        assert "svg" not in parsed(training._repr_html_())  # no line yet
        for line in training:
            if line["step"] == 320:
                page = parsed(training._repr_html_())
                assert len(page["polyline"][0].get("points").split()) == 5
    page = parsed(training.run._repr_html_())
    assert page["code"][0].text == repr(training.run)
    assert "\n" not in repr(training.run)
    assert len(page["polyline"][0].get("points").split()) == 10
    assert "accuracy" in [text.text for text in page["text"]]


def test_a_curve_goes_from_corner_to_corner():
    page = parsed(notebook.curve([(0, 1.0), (50, 2.0), (100, 3.0)], "return_mean"))
    places = [tuple(map(float, place.split(","))) for place in page["polyline"][0].get("points").split()]
    left, right, top, bottom = notebook.LEFT, notebook.WIDTH - notebook.RIGHT, notebook.TOP, notebook.HEIGHT - notebook.BOTTOM
    assert places == [(left, bottom), ((left + right) / 2, (top + bottom) / 2), (right, top)]
    assert [text.text for text in page["text"]] == ["3", "1", "step 0", "100", "return mean"]


def test_a_metric_that_stays_the_same_has_a_curve_too():
    assert "nan" not in notebook.curve([(0, 1.0), (1, 1.0)], "loss")


def test_what_is_in_the_file_is_data(tmp_path):
    good = '{"step": %d, "loss": 1.5}\n'
    bad = ['{"step": 3, "loss": null}\n', "[1]\n", '{"step": 4, "loss": NaN}\n', '{"step": 5, "lo']
    (tmp_path / "metrics.jsonl").write_text(good % 1 + good % 2 + "".join(bad))
    assert notebook.points_of(tmp_path, "loss") == [(1.0, 1.5), (2.0, 1.5)]
    assert notebook.points_of(tmp_path / "nowhere", "loss") == []
    page = notebook.page_of("<script>", tmp_path, "loss")
    assert re.search("<code>&lt;script&gt;</code>", page)


@pytest.mark.parametrize("count", [499, 500, 501, 5_000])
def test_long_runs_have_no_more_points_than_there_are_pixels(tmp_path, count):
    (tmp_path / "metrics.jsonl").write_text("".join(f'{{"step": {step}, "loss": 1.0}}\n' for step in range(count)))
    assert notebook.MOST_POINTS / 2 <= len(notebook.points_of(tmp_path, "loss")) <= notebook.MOST_POINTS
