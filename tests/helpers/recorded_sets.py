"""Small data sets that tests write."""

import numpy as np

from agentlab.recordings import RecordingWriter
from agentlab.recordings.writer import Episode
from agentlab.spec import Array, Discrete

CARTPOLE = Array((4,)), Discrete(2)
PENDULUM = Array((3,), minimum=[-1.0, -1.0, -8.0], maximum=[1.0, 1.0, 8.0]), Array((1,), minimum=-2.0, maximum=2.0)


def write_random(
    path, spaces=CARTPOLE, lengths=(5, 3, 8, 4, 6, 2, 7, 5), terminated=lambda number: number % 2 == 0, **metadata
):
    """Writes episodes of random numbers at a path and returns it as a text, and the episodes."""
    generator, episodes = np.random.default_rng(0), []
    with RecordingWriter(str(path), *spaces, metadata) as writer:
        for number, length in enumerate(lengths):
            observation, action = spaces[0].random(length + 1, generator), spaces[1].random(length, generator)
            rewards = generator.normal(size=length).astype("f4")
            episodes.append(Episode(observation, action, rewards, terminated(number)))
            writer.add(episodes[-1])
    return str(path), episodes
