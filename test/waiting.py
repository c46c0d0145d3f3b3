"""Waiting for a condition, with a deadline."""
import time


def wait_until(condition, timeout=10.0, explain=str):
    """Wait until a condition holds; fail with an explanation if it does not in time [s]."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f'nothing after {timeout} s: {explain()}'
        time.sleep(0.01)
