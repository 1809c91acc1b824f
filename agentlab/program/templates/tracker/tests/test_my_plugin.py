"""The contract's tests, and what the file says."""

from agentlab.testing import TaskTests, TrackerTests
from agentlab.tracker import TrackedRun
from my_plugin.tracker import MyPlugin


class TestMyPlugin(TrackerTests):
    part = MyPlugin


class TestTask(TaskTests):
    name = "my-plugin:my-plugin"


def test_the_best_report_is_written_down(tmp_path):
    tracker = MyPlugin(metric="loss")
    tracker.begin(TrackedRun({}, tmp_path, 300))
    for step, loss in ((100, None), (200, 0.5), (300, 0.25)):
        tracker.line({"step": step, "update": step, "loss": loss})
    tracker.end(None)
    assert (tmp_path / "best.txt").read_text() == "loss 0.5 at step 200\n"
