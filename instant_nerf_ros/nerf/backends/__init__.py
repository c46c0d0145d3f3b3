"""The engines behind the field: modules with the same functions, chosen once by `select`.

A backend takes and returns bare tensors and imports no class of ours. It defines

``GeometryNetwork(scales, log2_table, hidden)``
    Module: positions (N, 3) in [0, 1] -> (N, GEOMETRY) float32, the first the log density.
``ColorNetwork(hidden)``
    Module: directions (R, 3), ray_indices (N,), geometry (N, GEOMETRY) -> colors (N, 3) in [0, 1].
``Adam(geometry, color, ...)``
    Optimiser of the two: ``step(learning_rate)``.
``WHOLE``
    Whether it takes a training step, and a view, in one go: ``learn(field, rays, occupancy,
    config, jitter, background, stride)`` and ``look(field, rays, occupancy, sampling, stride)``,
    which return the values of a Lesson, and what render.look does. Else it has ``march``,
    ``composite``, ``median_distance``: rays to flat samples, samples to pixels.
``visit``, ``carve``, ``states``
    What the samples and rays say of the voxels, written in place, and what follows from it.
``together``
    Calls two functions, at the same time where there are cores for that.
``NAME``
    What the logs call it.

Signatures and meaning are those of `reference`. The state_dict of the networks is the same in all.
"""
import importlib
import logging

logger = logging.getLogger('instant_nerf_ros')


def select(device):
    """Return the backend module for a device: 'cpu', 'reference', or 'auto' for the fastest.

    Raises ImportError if a backend was named and what it needs is missing.
    """
    if device != 'auto':
        return importlib.import_module(f'instant_nerf_ros.nerf.backends.{device}')
    try:
        return importlib.import_module('instant_nerf_ros.nerf.backends.cpu')
    except ImportError as error:
        logger.warning(
            'the reference backend is in use (%s); numba would make it many times faster', error)
        return importlib.import_module('instant_nerf_ros.nerf.backends.reference')


def columns():
    """Return the module that makes maps of columns of voxels, in numpy on every backend."""
    try:
        return importlib.import_module('instant_nerf_ros.nerf.backends.numba_columns')
    except ImportError:
        return importlib.import_module('instant_nerf_ros.nerf.backends.reference_columns')
