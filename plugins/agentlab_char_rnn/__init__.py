"""Character models: recurrent layers with a hand-written backward pass through time."""
