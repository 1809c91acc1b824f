"""The games of MinAtar as pure TensorFlow functions, on grids of ten by ten."""
