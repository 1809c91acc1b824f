"""Export: a whole policy in a format that other programs run."""

from agentlab.loop.export.exporting import Export, check_target, export_policy
from agentlab.loop.export.formats import FORMATS
from agentlab.loop.export.met import ROWS, Met, record

__all__ = ["FORMATS", "ROWS", "Export", "Met", "check_target", "export_policy", "record"]
