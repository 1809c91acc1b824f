"""Export: a whole policy in a format that other programs run."""

from agentlab.loop.export.exporting import Export, export_policy
from agentlab.loop.export.formats import FORMATS

__all__ = ["FORMATS", "Export", "export_policy"]
