"""Our field against nerfstudio's in torch: on one machine, on one batch, in alternation."""
import contextlib
import tempfile
from pathlib import Path

import numpy as np
from environments import interpreter
from report import Table
from workers import Worker

ROUNDS = 5
# What importing the fields needs; all of nerfstudio needs about a hundred more packages.
COMPLETE = 'torch==2.13.0', 'numpy', 'jaxtyping', 'rich', 'msgspec', 'websockets'
ALONE = 'nerfstudio==1.1.5', 'nerfacc==0.5.2', 'viser==0.2.7', 'imageio'


def measure(options):
    """Return the table of all, with their times as multiples of ours."""
    python = interpreter('.peer-venv', COMPLETE, ('--no-deps', *ALONE))
    theirs = {'python': python, 'isolated': True}
    with contextlib.ExitStack() as stack:
        batch = Path(stack.enter_context(tempfile.TemporaryDirectory())) / 'batch.npz'
        workers = {
            name: stack.enter_context(Worker(script, batch, **settings))
            for name, script, settings in (
                ('instant_nerf_ros', 'our_field.py', {}),
                ('nerfstudio', 'nerfstudio_field.py', theirs),
                # With few or shared cores, threads that spin while they wait cost more than they
                # gain; so the peer also runs with the settings that are best for it then.
                ('nerfstudio, OMP_WAIT_POLICY=PASSIVE', 'nerfstudio_field.py',
                 {**theirs, 'OMP_WAIT_POLICY': 'PASSIVE'}),
                ('nerfstudio, one thread', 'nerfstudio_field.py',
                 {**theirs, 'OMP_NUM_THREADS': '1'}),
            )}
        count = len(np.load(batch)['positions'])  # ours, the first one, wrote them
        rounds = [[worker.measure() for worker in workers.values()] for _ in range(ROUNDS)]
    times = np.median(rounds, axis=0)
    rows = [[name, 1e3 * took, count / took, took / times[0]]
            for name, took in zip(workers, times)]
    return [Table([f'forward, backward, Adam on {count:,} samples', 'ms', 'samples/s',
                   'times our time'], rows)]
