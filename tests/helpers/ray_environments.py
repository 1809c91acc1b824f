"""Compares environments on Ray with environments of one process, and has some of them fail; prints what happened as JSON.

python tests/helpers/ray_environments.py FOLDER
"""

import json
import pathlib
import sys
import warnings

import attrs
import numpy as np

import agentlab
from agentlab import errors
from agentlab.types import TimeStep
from agentlab_envs.gymnasium import GymnasiumEnvironment

SOURCE = """
import os, time
import gymnasium
import numpy as np


class Failing(gymnasium.Env):
    observation_space = gymnasium.spaces.Dict({"count": gymnasium.spaces.Box(0, 100, (2,), np.float32)})
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, way="none"):
        self.way = way

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count, self.length = 0, int(self.np_random.integers(2, 6))
        return self._observation(), {}

    def _observation(self):
        return {"count": np.array([self.count, self.length], np.float32)}

    def step(self, action):
        self.count += 1
        action *= 2  # its own copy
        if self.count == 2:
            if self.way == "raise":
                raise KeyError("what was wrong")
            if self.way == "die":
                os._exit(3)
            if self.way == "hang":
                time.sleep(60)
        return self._observation(), float(action[0]), self.count >= self.length, False, {}
"""
SMALL = {
    "environment": {"id": "CartPole-v1"},
    "num_environments": 3,
    "model": {"hidden_units": [8]},
    "trainer": {"learning_starts": 64, "update_period": 16},
    "memory": {"capacity": 500, "batch_size": 16},
    "steps": 600,
    "report_period": 300,
    "evaluation": {"episodes": 3},
}


def played(id, vectorization, autoreset):
    """Returns the time steps of some random actions, and the state after them."""
    environment = GymnasiumEnvironment(id, 3, vectorization, autoreset)
    timesteps, generator = [environment.reset(5)], np.random.default_rng(0)
    for _ in range(20):
        timesteps.append(environment.step(generator.uniform(-1, 1, (3, 1)).astype(np.float32)))
    state = environment.state()
    environment.close()
    return timesteps, state


def same(one, other):
    """Returns whether time steps and states are equal."""
    for ours, theirs in zip(one[0], other[0], strict=True):
        for field in attrs.fields(TimeStep):
            np.testing.assert_equal(getattr(ours, field.name), getattr(theirs, field.name))
    np.testing.assert_equal(one[1], other[1])
    return True


def fault(id, way):
    """Returns the sentence about an environment that fails in its second step."""
    environment = GymnasiumEnvironment(id, 2, "ray", arguments={"way": way}, timeout=1.0)
    try:
        environment.reset(1)
        for _ in range(2):
            environment.step(np.zeros((2, 1), np.float32))
    except errors.EnvironmentFault as error:
        return str(error)
    finally:
        environment.close()
    return ""


def weights(folder, vectorization):
    changes = {**SMALL, "environment": {**SMALL["environment"], "vectorization": vectorization}}
    run = agentlab.run("dqn", 3, changes, run_dir=folder / vectorization)
    return {name: variable.numpy().tolist() for name, variable in run.agent.variables().items()}


def main(folder):
    (folder / "failing.py").write_text(SOURCE)
    id = f"{folder / 'failing.py'}:Failing"
    modes = ("same_step", "next_step", "disabled")
    report = {"same": [same(played(id, "sync", mode), played(id, "ray", mode)) for mode in modes]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.RunWarning)  # of those that don't close
        report["faults"] = {way: fault(id, way) for way in ("raise", "die", "hang")}
    report["weights"] = weights(folder, "sync") == weights(folder, "ray")
    print(json.dumps(report))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
