"""Export: a whole policy in a format that other programs run."""

from agentlab.loop.export.encounters import ROWS, Encounter, record
from agentlab.loop.export.exporting import Export, check_target, export_policy
from agentlab.loop.export.formats import FORMATS

__all__ = ["FORMATS", "ROWS", "Encounter", "Export", "check_target", "export_policy", "record"]
