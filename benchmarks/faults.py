"""Faults of a session and around a node: what was expected, and what was seen."""
import json
import subprocess
import sys
from pathlib import Path

from report import Table

SCRIPTS = 'session_faults.py', 'node_faults.py'


def measure(_):
    """Return the tables of faults."""
    return [Table(['fault', 'expected', 'seen'], _rows(name)) for name in SCRIPTS]


def _rows(name):
    # In a process of its own, as it uses modules of the tests, forks, or has a node.
    script = Path(__file__).with_name(name)
    output = subprocess.run([sys.executable, script], check=True, stdout=subprocess.PIPE).stdout
    return json.loads(output)
