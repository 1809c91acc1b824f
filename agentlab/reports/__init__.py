"""Many runs: what their files say, compared in tables, curves and a page. Imports no TensorFlow."""

from agentlab.reports.comparison import Comparison, compare
from agentlab.reports.recorded_runs import Collection, RecordedRun, collect

__all__ = ["Collection", "Comparison", "RecordedRun", "collect", "compare"]
