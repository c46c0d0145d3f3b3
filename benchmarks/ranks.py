"""Ranks: two processes on one machine, through gloo, against one with the batch of both.

Times are those of the processor, which other processes hardly change.
"""
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from datasets import DATA
from report import Table, spread

STEPS = 1000
SAMPLES = 8192  # of a step of a rank
WORKER = Path(__file__).parent / 'rank_fit.py'
MEGA = 1e-6


def measure(options):
    """Return the table of quality, time and bytes."""
    fox = DATA / 'fox'
    if not fox.is_dir():
        print(f'not measured: fox, which is not in {DATA} (set INSTANT_NERF_DATA)')
        return []
    rows = []
    for name, size, samples in (
            ('one rank', 1, SAMPLES), ('one rank, twice the batch', 1, 2 * SAMPLES),
            ('two ranks', 2, SAMPLES)):
        results = [fitted(fox, size, samples, f'seed={seed}') for seed in range(options.seeds)]
        rows.append([name, spread([result['psnr'] for result in results]), *(
            float(np.mean([result[key] for result in results])) * unit for key, unit in (
                ('ms', 1), ('gradients', MEGA), ('samples', MEGA)))])
    return [Table([f'fox, {STEPS:,} steps of {SAMPLES:,} samples a rank, a thread each',
                   'PSNR [dB]', 'processor time of a step of a rank [ms]',
                   'gradients sent by a rank [MB/step]',
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
