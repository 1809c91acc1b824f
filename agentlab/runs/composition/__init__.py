"""Composition: from a task's part names and settings to the objects that run."""

from agentlab.runs.composition.agents import build_agent, build_models, check_actions, make_agent
from agentlab.runs.composition.environments import (
    build_environment,
    build_gear,
    build_training_environment,
    check_imports,
    choose_gear,
    evaluation_environment,
    on_host,
)
from agentlab.runs.composition.evaluators import build_evaluator
from agentlab.runs.composition.parts import build_part, check_origin, part_class, with_packages
from agentlab.runs.composition.showcases import (
    Showcase,
    build_drawing_environment,
    build_showcase,
    check_pictures,
    has_pictures,
)
from agentlab.runs.composition.tasks import choose_task, find_task, resolved

__all__ = [
    "Showcase",
    "build_agent",
    "build_drawing_environment",
    "build_environment",
    "build_evaluator",
    "build_gear",
    "build_models",
    "build_part",
    "build_showcase",
    "build_training_environment",
    "check_actions",
    "check_imports",
    "check_origin",
    "check_pictures",
    "choose_gear",
    "choose_task",
    "evaluation_environment",
    "find_task",
    "has_pictures",
    "make_agent",
    "on_host",
    "part_class",
    "resolved",
    "with_packages",
]
