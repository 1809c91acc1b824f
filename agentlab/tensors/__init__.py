"""TensorFlow mechanics: execution, optimizers, variables, noise, shuffling."""
