"""Control problems as pure TensorFlow functions."""
