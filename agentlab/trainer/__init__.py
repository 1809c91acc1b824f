"""The Trainer contract: improves networks from batches; and what trainers take and return."""

from agentlab.trainer.contract import MOST_UPDATES, Trainer, build_trainer, rate
from agentlab.trainer.loss import Loss, Recording, Update
from agentlab.trainer.network import Network, TrainedNetwork, is_of_updater, output_signature
from agentlab.trainer.score import Score
from agentlab.trainer.setup import Setup

__all__ = [
    "MOST_UPDATES",
    "Loss",
    "Network",
    "Recording",
    "Score",
    "Setup",
    "TrainedNetwork",
    "Trainer",
    "Update",
    "build_trainer",
    "is_of_updater",
    "output_signature",
    "rate",
]
