"""The DQN tasks. Imports no TensorFlow: tasks are listed and described without it."""

import attrs

from agentlab.schedules import Linear
from agentlab.task import Evaluation, Normalization, Task, part

BALANCE = {  # what balances CartPole, whatever the budget
    "huber_delta": None,  # with a Huber loss the values ran away
    "max_gradient_norm": 10.0,
    "target_update_period": 1,
}
RAINBOW = {"num_steps": 3, "num_atoms": 51}  # with double Q-learning, which is on; the rest is the memory's and the model's
MINATAR_NETWORK = {"convolutions": ((16, 3, 1),), "hidden_units": (128,)}
MINATAR_UPDATES = {"learning_starts": 5_000, "update_period": 1, "target_update_period": 1_000}
ATARI_UPDATES = {"learning_starts": 10_000, "update_period": 4, "target_update_period": 1_000}

dqn_cartpole = Task(
    name="dqn-cartpole",
    description="DQN balances CartPole, tuned for wall-clock time: the whole loop is one compiled program.",
    environment=part("cartpole"),
    model=part("mlp", hidden_units=(64, 64)),
    trainer=part(
        "dqn",
        learning_rate=Linear(2e-3, 1e-5, 14_000),
        discount=0.995,  # the way to the end of the track is hundreds of steps long
        learning_starts=2_000,
        update_period=32,
        target_update_rate=0.05,
        **BALANCE,
    ),
    sampler=part("epsilon-greedy", epsilon=Linear(1.0, 0.2, 50_000)),  # much exploring keeps failures in the replay
    memory=part("replay", capacity=20_000, batch_size=128),
    steps=450_000,
    num_environments=32,
    report_period=45_000,
    evaluation=Evaluation(environment=part("gymnasium", id="CartPole-v1")),
    threads=1,
)

dqn_cartpole_50k = attrs.evolve(
    dqn_cartpole,
    name="dqn-cartpole-50k",
    description="DQN balances CartPole within 50,000 environment steps, and stops learning once it does.",
    model=part("mlp", hidden_units=(128, 128)),
    trainer=part(
        "dqn",
        learning_rate=Linear(1e-3, 1e-6, 49_000),
        discount=0.99,
        learning_starts=1_000,
        update_period=4,
        updates_per_period=4,
        target_update_rate=0.005,
        **BALANCE,
    ),
    sampler=part("epsilon-greedy", epsilon=Linear(1.0, 0.05, 5_000)),
    memory=part("replay", capacity=50_000, batch_size=64),
    steps=50_000,
    num_environments=4,
    report_period=2_000,
    evaluation=attrs.evolve(dqn_cartpole.evaluation, period=2_000, stop_return=495.0),
)

dqn = Task(
    name="dqn",
    description="DQN in any Gymnasium environment with discrete actions: --environment Acrobot-v1.",
    environment=part("gymnasium", id="CartPole-v1"),
    model=part("mlp", hidden_units=(256, 256)),
    trainer=part(
        "dqn",
        learning_rate=Linear(1e-3, 1e-5),  # at a constant one, the best of nearly equal actions is never settled
        num_steps=3,  # with 1, MountainCar's goal is too rarely reached to be learned from
        max_gradient_norm=10.0,
        update_period=1,
        target_update_period=250,
    ),
    sampler=part("epsilon-greedy", epsilon=Linear(1.0, 0.05, 10_000)),
    memory=part("replay", capacity=50_000, batch_size=64),
    steps=50_000,
    report_period=2_000,
    threads=1,
    normalization=Normalization(observations=True, images=True),  # rewards as they are: scaled ones learn later
)

rainbow_cartpole = attrs.evolve(
    dqn_cartpole_50k,
    name="rainbow-cartpole",
    description="Rainbow, all of DQN's improvements at once, balances CartPole within 50,000 environment steps.",
    model=part("mlp", hidden_units=(128, 128), dueling=True, noise=0.1),
    trainer=part(
        "dqn",
        learning_rate=Linear(1e-3, 1e-6, 49_000),
        discount=0.99,
        **RAINBOW,
        minimum_return=0.0,
        maximum_return=100.0,  # what balancing for ever is worth
        max_gradient_norm=10.0,
        learning_starts=1_000,
        update_period=4,
        updates_per_period=4,
        target_update_period=1,
        target_update_rate=0.005,
    ),
    # besides the noise in the weights, epsilon-greedy as before: by noise alone, every episode soon goes the same way
    memory=part("prioritized-replay", capacity=50_000, batch_size=64, weight_exponent=Linear(0.4, 1.0, 49_000)),
)

pqn_cartpole = attrs.evolve(
    dqn_cartpole,
    name="pqn-cartpole",
    description="A parallelised Q-network, without replay, balances CartPole; the whole loop is one compiled program.",
    model=part("mlp", hidden_units=(128, 128), normalization="layer"),
    trainer=part("pqn", learning_rate=Linear(1e-3, 1e-5), trace_decay=0.95, num_epochs=4, num_minibatches=8),
    sampler=part("epsilon-greedy", epsilon=Linear(1.0, 0.05, 100_000)),
    memory=part("rollout"),
    steps=250_000,
    report_period=25_000,
)

r2d2_cartpole_no_velocity = attrs.evolve(
    dqn_cartpole_50k,
    name="r2d2-cartpole-no-velocity",
    description="Recurrent DQN balances CartPole without being shown its velocities, and stops learning once it does.",
    environment=part("cartpole-no-velocity"),
    model=part("lstm", units=64, hidden_units=(64,)),
    trainer=part(
        "r2d2",
        learning_rate=Linear(1e-3, 1e-5),
        discount=0.99,
        num_steps=5,  # by single steps, the values of hundreds of steps spread too slowly, and the cart drifts off the track
        sequence_length=14,
        burn_in=4,
        learning_starts=2_000,
        update_period=4,
        target_update_rate=0.01,
        **BALANCE,
    ),
    sampler=part("epsilon-greedy", epsilon=Linear(1.0, 0.05, 20_000)),
    memory=part("prioritized-replay", capacity=50_000, batch_size=32, weight_exponent=Linear(0.4, 1.0, 24_000)),
    steps=100_000,
    num_environments=8,
    report_period=5_000,
    evaluation=Evaluation(period=5_000, stop_return=495.0),
)

dqn_minatar_breakout = Task(
    name="dqn-minatar-breakout",
    description="DQN plays MinAtar's Breakout, 10 x 10 pixels, by the settings of its paper; the whole loop is one program.",
    environment=part("minatar-breakout", minimal=False),
    model=part("nature-cnn", **MINATAR_NETWORK),
    trainer=part(
        "dqn",
        # the paper's program adds 0.01 to the root of what Keras adds epsilon to; the rate is its best in this game
        optimizer={"name": "rmsprop", "rho": 0.95, "centered": True, "epsilon": 1e-4},
        learning_rate=2**-9,
        double=False,
        **MINATAR_UPDATES,
    ),
    sampler=part("epsilon-greedy", epsilon=Linear(1.0, 0.1, 100_000)),
    memory=part("replay", capacity=100_000, batch_size=32),
    steps=1_000_000,
    report_period=50_000,
    threads=1,  # so small a network takes twice as long with more
    onednn=True,
)

rainbow_minatar_breakout = attrs.evolve(
    dqn_minatar_breakout,
    name="rainbow-minatar-breakout",
    description="Rainbow, all of DQN's improvements at once, plays MinAtar's Breakout.",
    model=part("nature-cnn", dueling=True, noise=0.5, **MINATAR_NETWORK),
    trainer=part(
        "dqn",
        learning_rate=2.5e-4,
        **RAINBOW,
        minimum_return=0.0,
        maximum_return=20.0,
        **MINATAR_UPDATES,
    ),
    sampler=part("greedy"),
    memory=part("prioritized-replay", capacity=100_000, batch_size=32),
    steps=200_000,
    report_period=10_000,
)

WHOLE_GAMES = Evaluation(  # by the game's own points, whatever is learned from
    environment=part("atari", arguments={"reward_clipping": False, "life_loss_info": False}),
    sampler=part("epsilon-greedy", epsilon=0.05),  # else one game is played over and over, if the emulator draws nothing
    episodes=30,
    max_episode_steps=27_000,  # half an hour of play, where the emulator ends it too
)

dqn_breakout = Task(
    name="dqn-breakout",
    description="DQN plays Atari Breakout from pixels; needs the extra 'atari'.",
    environment=part("atari", game="breakout"),
    model=part("nature-cnn", channels="first"),
    trainer=part("dqn", learning_rate=1e-4, double=False, **ATARI_UPDATES),
    sampler=part("epsilon-greedy", epsilon=Linear(1.0, 0.05, 100_000)),
    memory=part("replay", capacity=100_000, batch_size=32, observations="frames"),
    steps=1_000_000,
    num_environments=8,
    report_period=10_000,
    evaluation=WHOLE_GAMES,
    onednn=True,
)

rainbow_breakout = attrs.evolve(
    dqn_breakout,
    name="rainbow-breakout",
    description="Rainbow, all of DQN's improvements at once, plays Atari Breakout from pixels; needs the extra 'atari'.",
    model=part("nature-cnn", channels="first", dueling=True, noise=0.5),
    trainer=part(
        "dqn",
        optimizer={"name": "adam", "epsilon": 1.5e-4},
        learning_rate=6.25e-5,
        **RAINBOW,
        minimum_return=-10.0,
        maximum_return=10.0,
        **ATARI_UPDATES,
    ),
    sampler=part("greedy"),
    memory=part(
        "prioritized-replay", capacity=100_000, batch_size=32, observations="frames", weight_exponent=Linear(0.4, 1.0, 250_000)
    ),
)
