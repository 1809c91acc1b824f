"""A Ray cluster that can't be reached is one sentence, soon."""

import socket
import time

import pytest

from agentlab import errors
from agentlab.system.processes import ray_connection


@pytest.mark.parametrize("by_variable", [True, False])
def test_nobody_at_the_address_is_said_at_once(monkeypatch, by_variable):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"  # where nobody listens
        if by_variable:
            monkeypatch.setenv("RAY_ADDRESS", address)
        begin = time.monotonic()
        sentence = rf"No Ray cluster can be reached at {address}: .*refused.*--address HOST:PORT"
        with pytest.raises(errors.UsageError, match=sentence):
            ray_connection.connected(None if by_variable else address)
        assert time.monotonic() - begin < 10
