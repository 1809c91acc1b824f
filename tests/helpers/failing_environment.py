"""An environment that fails, by its id "failing_environment:Failing-v0"."""

import gymnasium
import numpy as np


class Failing(gymnasium.Env):
    """Fails at its 50th step in the way it is told; its episodes last 10 steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, way):
        self.way = way
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        failure = self.way if self.steps == 50 else None
        if failure == "raise":
            raise RuntimeError("the motor is on fire\nand burns")
        observation = np.full(3 if failure == "shape" else 2, 0.5, np.float32)
        if failure == "not a number":
            observation[1] = np.nan
        return observation, float("nan") if failure == "reward" else 1.0, False, self.steps % 10 == 0, {}


gymnasium.register("Failing-v0", Failing, disable_env_checker=True)
