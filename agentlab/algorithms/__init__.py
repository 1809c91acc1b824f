"""Building blocks of trainers: returns and advantages, minibatches, optimizers, target networks."""
