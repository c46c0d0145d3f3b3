"""Faults of a session: what was expected, and what was seen."""
import json
import subprocess
import sys
from pathlib import Path

from report import Table


def measure(options):
    """Return the table of faults."""
    # In a process of its own, as it uses modules of the tests and forks.
    script = Path(__file__).with_name('session_faults.py')
    output = subprocess.run([sys.executable, script], check=True, stdout=subprocess.PIPE).stdout
    return [Table(['fault', 'expected', 'seen'], json.loads(output))]
