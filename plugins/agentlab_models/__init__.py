"""Models that several algorithms share: multi-layer perceptrons and convolutional networks."""
