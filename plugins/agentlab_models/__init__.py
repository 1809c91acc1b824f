"""Models: multi-layer perceptrons, convolutional and recurrent networks, a transformer.

Importing this package makes their layers known to Keras, for `keras.models.load_model`.
"""

from agentlab_models.features import Features
from agentlab_models.heads import Dueling
from agentlab_models.noisy import NoisyDense
from agentlab_models.regularized import SeededDropout
from agentlab_models.styles import Subclassed

__all__ = ["Dueling", "Features", "NoisyDense", "SeededDropout", "Subclassed"]
