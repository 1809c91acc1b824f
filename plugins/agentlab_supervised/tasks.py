"""The supervised tasks, and learning to classify from reward alone. Imports no TensorFlow."""

from agentlab.schedules import Linear
from agentlab.task import Evaluation, Task, part

ON_TEST = Evaluation(environment=part("images", split="test", shuffle=False, replacement=False, max_shift=0, max_rotation=0.0))

linear_regression = Task(
    name="linear-regression",
    description="Fits y = x w + b to two samples of three inputs by 100 steps of gradient descent.",
    environment=part("regression", inputs=[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], targets=[[10.0], [20.0]], shuffle=False),
    model=part("linear"),
    trainer=part("supervised", optimizer="sgd", learning_rate=0.01),
    sampler=part("greedy"),
    memory=part("latest"),
    steps=200,
    num_environments=2,
    report_period=20,
    evaluation=Evaluation(sampler=part("greedy")),
    execution="graph",
    threads=1,
)

classifier_digits = Task(
    name="classifier-digits",
    description="A multi-layer perceptron classifies scikit-learn's 8 x 8 digits: no network, no files, seconds.",
    environment=part("images", data="digits"),
    model=part("mlp", hidden_units=(100,)),
    trainer=part("supervised", learning_rate=Linear(3e-3, 1e-4, 3_000)),
    sampler=part("greedy"),
    memory=part("latest"),
    steps=96_000,
    num_environments=32,
    report_period=16_000,
    evaluation=ON_TEST,
    threads=1,
)

classifier_mnist = Task(
    name="classifier-mnist",
    description="A multi-layer perceptron classifies MNIST's handwritten digits: five epochs.",
    environment=part("images", data="mnist"),
    model=part("mlp", hidden_units=(100,)),
    trainer=part("supervised", learning_rate=Linear(2e-3, 1e-4, 6_000)),
    sampler=part("greedy"),
    memory=part("latest"),
    steps=300_000,
    num_environments=50,
    report_period=60_000,
    evaluation=ON_TEST,
)

classifier_mnist_cnn = Task(
    name="classifier-mnist-cnn",
    description="A convolutional network classifies MNIST's handwritten digits: five epochs.",
    environment=part("images", data="mnist"),
    model=part("cnn"),
    trainer=part("supervised", learning_rate=Linear(1e-3, 5e-5, 6_000)),
    sampler=part("greedy"),
    memory=part("latest"),
    steps=300_000,
    num_environments=50,
    report_period=10_000,
    evaluation=ON_TEST,
    onednn=True,
)

classifier_digits_reward = Task(
    name="classifier-digits-reward",
    description="DQN learns to classify digits from reward alone: it only sees whether an answer was right.",
    environment=part("images", data="digits"),
    model=part("mlp", hidden_units=(100,)),
    trainer=part(
        "dqn", learning_rate=Linear(2e-3, 1e-4, 12_000), learning_starts=2_000, update_period=32, target_update_period=1_000
    ),
    sampler=part("epsilon-greedy", epsilon=Linear(1.0, 0.1, 100_000)),
    memory=part("replay", capacity=50_000, batch_size=128),
    steps=400_000,
    num_environments=32,
    report_period=40_000,
    evaluation=ON_TEST,
    threads=1,
)

classifier_mnist_best = Task(
    name="classifier-mnist-best",
    description="The best MNIST accuracy within ten minutes on two cores: batch normalisation, shifted and turned digits.",
    environment=part("images", data="mnist", max_shift=2, max_rotation=10.0),
    model=part("cnn-normalized"),
    trainer=part("supervised", learning_rate=Linear(3e-3, 1e-6, 7_000)),
    sampler=part("greedy"),
    memory=part("latest"),
    steps=700_000,
    num_environments=100,
    report_period=20_000,
    evaluation=ON_TEST,
    onednn=True,
)
