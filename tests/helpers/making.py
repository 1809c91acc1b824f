"""Steps, batches, layouts and setups as tests write them down: what a test leaves out is as usual."""

import numpy as np
import tensorflow as tf

from agentlab.memory import Layout, Request
from agentlab.trainer import Setup
from agentlab.types import Batch, Step


def make_step(observation, action, reward, discount, next_observation, kind=Step, **leaves):
    """Returns N steps that all acted; where nothing else is said, episodes end where the task terminates."""
    return kind(
        observation=observation,
        action=action,
        reward=reward,
        discount=discount,
        next_observation=next_observation,
        **{"ended": discount == 0, "acted": _ones(reward), **leaves},
    )


def _ones(like):
    return np.ones(np.shape(like), np.bool_) if isinstance(like, np.ndarray) else tf.ones_like(like, tf.bool)


def make_batch(*arrays, **leaves):
    """Returns N steps as a batch, see `make_step`."""
    return make_step(*arrays, kind=Batch, **leaves)


def tensors(structure):
    """Returns a structure of arrays as tensors."""
    return tf.nest.map_structure(tf.convert_to_tensor, structure)


def make_layout(spec, rows=1, **request):
    """Returns what a memory of `rows` environments is to store; the rest are a request's fields."""
    return Layout(spec, rows, Request(**request))


def make_setup(trainer, spec, *models, **run):
    """Returns the run of a trainer whose networks have these models, one each in order."""
    names = trainer.networks(spec)
    return Setup(spec, {name: [model] for name, model in zip(names, models, strict=True)}, **run)


def build(trainer, spec, *models, **run):
    """Builds a trainer, see `make_setup`, and returns it."""
    trainer.build(make_setup(trainer, spec, *models, **run))
    return trainer
