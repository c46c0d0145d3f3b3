"""Kernel cache: compiled kernels are deleted when a source has changed."""
import os

from instant_nerf_ros.nerf.backends.cpu.kernels.jit import forget_outdated


def test_kernels_older_than_any_source_are_deleted(tmp_path):
    kept = tmp_path / '__pycache__'
    kept.mkdir()
    sources = [tmp_path / name for name in ('a.py', 'b.py')]
    kernels = [kept / f'a.{name}' for name in ('old.nbc', 'old.nbi', 'new.nbc', 'new.nbi')]
    for file, age in zip([*sources, *kernels], (30, 20, 25, 25, 10, 10)):
        file.touch()
        os.utime(file, (1e9 - age, 1e9 - age))
    forget_outdated(tmp_path, kept)
    assert [kernel.exists() for kernel in kernels] == [False, False, True, True]
    assert all(source.exists() for source in sources)
