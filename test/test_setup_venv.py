"""underlay/setup_venv.sh: package indexes that do not answer are named, and waited for briefly."""
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SILENT = 'Could not fetch URL https://no.such/simple/setuptools/: connection error: - skipping'
INCOMPLETE = 'Could not fetch URL https://own.org/simple/setuptools/: 404 Client Error - skipping'
# Stands for Python: it makes a virtual environment of itself, and pip installs nothing.
PYTHON = """#!/bin/sh
case "$*" in
    '-m venv '*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python";;
    *' index versions '*) echo 'setuptools (80.0)'; echo '{answer}';;
    *' install '*) echo "pip was called: $*"; exit 1;;
esac
"""


@pytest.mark.skipif(
    not (shutil.which('cmake') and shutil.which('c++')), reason='needs cmake and a C++ compiler')
@pytest.mark.parametrize('answer', [SILENT, INCOMPLETE, ''])
def test_an_index_that_does_not_answer_is_named_and_the_wait_is_bounded(tmp_path, answer):
    python = tmp_path / 'python'
    python.write_text(PYTHON.format(answer=answer))
    python.chmod(0o755)
    done = subprocess.run(
        ['sh', ROOT / 'underlay' / 'setup_venv.sh', python, tmp_path / 'venv'],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60.0)
    assert done.returncode == 1 and 'pip was called' in done.stdout
    silent = answer == SILENT
    assert ('https://no.such/simple does not answer' in done.stdout) is silent
    assert ('--timeout 5 --retries 1 install' in done.stdout) is silent
    assert 'https://own.org' not in done.stdout
