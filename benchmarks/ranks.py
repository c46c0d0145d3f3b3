"""Ranks: two processes on one machine, through gloo, against one with the batch of both."""
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from datasets import DATA
from report import Table

STEPS = 2000
SAMPLES = 8192  # of a step of a rank
WORKER = Path(__file__).parent / 'rank_fit.py'
MEGA = 1e-6


def measure(_):
    """Return the table of quality, time and bytes."""
    fox = DATA / 'fox'
    if not fox.is_dir():
        print(f'not measured: fox, which is not in {DATA} (set INSTANT_NERF_DATA)')
        return []
    rows = []
    for name, size, samples in (
            ('one rank', 1, SAMPLES), ('one rank, twice the batch', 1, 2 * SAMPLES),
            ('two ranks', 2, SAMPLES)):
        result = fitted(fox, size, samples)
        rows.append([name, result['psnr'], result['ms'], MEGA * result['gradients'],
                     MEGA * result['samples']])
    return [Table([f'fox, {STEPS:,} steps of {SAMPLES:,} samples a rank, a core each',
                   'PSNR [dB]', 'step [ms]', 'gradients sent by a rank [MB/step]',
                   'samples sent by a rank [MB/step]'], rows)]


def fitted(data, size, samples, *settings):
    """Return what rank_fit.py of so many ranks prints; each has one thread."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(data), str(STEPS), str(samples), *settings],
            stdout=subprocess.PIPE, text=True, env={
                **os.environ, 'NUMBA_NUM_THREADS': '1', **({} if size == 1 else {
                    'RANK': str(rank), 'LOCAL_RANK': str(rank), 'WORLD_SIZE': str(size),
                    'LOCAL_WORLD_SIZE': str(size), 'MASTER_ADDR': '127.0.0.1',
                    'MASTER_PORT': port})})
        for rank in range(size)]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(f'{WORKER} has failed')
    return json.loads(outputs[0])
