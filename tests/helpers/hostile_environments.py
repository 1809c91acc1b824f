"""Gymnasium environments that misbehave as they are told, where they are told."""

import contextlib
import ctypes
import os
import signal
import time

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

OBSERVATIONS, ACTIONS = Box(-1, 1, (2,), np.float32), Discrete(2)
FOREVER = 600.0


class Silent(BaseException):
    """An exception of a kind of its own."""


RAISED = {
    "raise": RuntimeError("the motor is on fire"),
    "exit": SystemExit(0),
    "generator": GeneratorExit(),
    "interrupt": KeyboardInterrupt(),
    "own": Silent("of its own kind"),
}


class Hostile(gymnasium.Env):
    """Does what `way` says in the `at`th call of the method `where`; its episodes last `length` steps, for ever if 0.

    Ways are those of `RAISED`; "hang", "hang in a library" (which holds the interpreter's lock), "spin", "die", "print" and "".
    """

    metadata = {"render_modes": ["rgb_array"]}
    observation_space, action_space = OBSERVATIONS, ACTIONS

    def __init__(self, way="", where="step", at=3, length=10, render_mode=None):
        self.way, self.where, self.at, self.length, self.render_mode = way, where, at, length, render_mode
        self.calls = {"reset": 0, "step": 0, "render": 0, "close": 0}

    def _misbehave(self, method):
        self.calls[method] += 1
        if method != self.where or self.calls[method] != self.at:
            return
        if self.way in RAISED:
            raise RAISED[self.way]
        if self.way == "hang":
            time.sleep(FOREVER)
        elif self.way == "hang in a library":
            ctypes.PyDLL(None).sleep(int(FOREVER))
        elif self.way == "spin":
            while True:
                with contextlib.suppress(Exception):
                    time.sleep(0.01)
        elif self.way == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.way == "print":
            print("look at me", flush=True)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        self._misbehave("reset")
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        self._misbehave("step")
        return np.full(2, 0.5, np.float32), 1.0, False, self.length > 0 and self.steps >= self.length, {}

    def render(self):
        self._misbehave("render")
        return np.arange(24, dtype=np.uint8).reshape(2, 4, 3)

    def close(self):
        self._misbehave("close")


class HostileVector(VectorEnv):
    """The same as a vector class of its own: the first row misbehaves."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs, render_mode=None, **options):
        self.num_envs, self.render_mode = num_envs, render_mode
        self.single_observation_space, self.single_action_space = OBSERVATIONS, ACTIONS
        self.observation_space, self.action_space = batch_space(OBSERVATIONS, num_envs), batch_space(ACTIONS, num_envs)
        options.pop("max_episode_steps", None)
        self.first = Hostile(**options)

    def reset(self, *, seed=None, options=None):
        return np.tile(self.first.reset(seed=seed)[0], (self.num_envs, 1)), {}

    def step(self, actions):
        observation, reward, _, _, _ = self.first.step(actions[0])
        flags = np.zeros((2, self.num_envs), np.bool_)
        return np.tile(observation, (self.num_envs, 1)), np.full(self.num_envs, reward), *flags, {}

    def render(self):
        return (self.first.render(),) * self.num_envs

    def close_extras(self, **_):
        self.first.close()


class Speechless(VectorEnv):
    """A vector class whose spaces raise, and which counts how often it is closed."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    closed_times = 0

    def __init__(self, num_envs, **_):
        self.num_envs = num_envs

    @property
    def single_observation_space(self):
        raise AttributeError("no such thing as a space")

    def close_extras(self, **_):
        type(self).closed_times += 1


gymnasium.register("Hostile-v0", Hostile, disable_env_checker=True, vector_entry_point=HostileVector)
gymnasium.register("Speechless-v0", Hostile, disable_env_checker=True, vector_entry_point=Speechless)
