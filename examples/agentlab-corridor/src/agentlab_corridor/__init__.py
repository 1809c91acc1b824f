"""A corridor: one environment written for the device and for the host, and a task in it."""
