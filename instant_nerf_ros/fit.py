"""fit on several GPUs or machines: torchrun -m instant_nerf_ros.fit DATA --out SCENE.

The options are those of `instant-nerf fit`. It also runs without torchrun, as one process.
"""
import os
import sys


def share_machine() -> None:
    """Give this process its part of the cores, before anything is imported that counts them."""
    size = int(os.environ.get('LOCAL_WORLD_SIZE', '1'))
    if size > 1:
        cores = len(os.sched_getaffinity(0))
        os.environ.setdefault('NUMBA_NUM_THREADS', str(max(cores // size, 1)))


def main() -> int:
    """Run `instant-nerf fit` with the arguments of this command; return the exit status."""
    share_machine()
    from instant_nerf_ros.scenes.cli import main as command
    return command(['fit', *sys.argv[1:]])


if __name__ == '__main__':
    sys.exit(main())
