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
    config, jitter, background, stride, budget)``, ``look(field, rays, occupancy, sampling,
    stride)``, which return the values of a Lesson, and what render.look does. Else it has
    ``march``, ``composite``, ``median_distance``: rays to flat samples, samples to pixels.
``visit``, ``carve``, ``states``
    What the samples and rays say of the voxels, written in place, and what follows from it.
``finish``
    Waits until all is done that was asked for.
``together``
    Calls two functions, at the same time where there are cores for that.
``DRAWS``
    Whether it draws the rays itself, maybe from its own copy of the keyframes: ``draw(keyframes,
    count, generator, error_share)`` and ``take_in(keyframes, drawn, pixels, colors, opacities)``,
    which do what rays.draw and Keyframes.learn do.
``DEVICE``, ``SAMPLES``
    Where its tensors lie, and the samples of a step that suit it.
``NAME``
    What the logs call it.

Signatures and meaning are those of `reference`. The state_dict of the networks is the same in all.
"""
import importlib
import logging

import torch

logger = logging.getLogger('instant_nerf_ros')


def select(device, field=None):
    """Return the backend module for a device: 'cuda', 'triton', 'cpu', 'reference', or 'auto'.

    field, the arguments of GeometryNetwork, is what it is for. 'auto' takes an NVIDIA GPU where
    there is one that can be used; 'cuda' works on it with tinycudann where that can have the
    field, else with Triton alone, which is 'triton'. One line of the log says which it is, why,
    and what else there would be. Raises ImportError, with what is missing, if a backend was named
    that cannot run here.
    """
    if device == 'cuda':
        return _cuda(field)
    if device != 'auto':
        return _load(device)
    try:
        if not torch.cuda.is_available():
            raise ImportError('there is no NVIDIA GPU that this PyTorch can use')
        return _cuda(field)
    except ImportError as error:
        no_gpu = error
    try:
        backend = _load('cpu')
        logger.info('the cpu backend is in use; a GPU would be faster (%s)', no_gpu)
        return backend
    except ImportError as error:
        logger.warning(
            'the reference backend is in use (%s); numba would make it many times faster', error)
        return _load('reference')


def _cuda(field):
    """Return the backend with tinycudann, or the one without, where that does not work."""
    triton = _load('triton')
    if field is None:
        return triton
    try:
        backend = importlib.import_module('instant_nerf_ros.nerf.backends.tinycudann')
        with torch.random.fork_rng():
            torch.manual_seed(0)  # what is in use must not be left to chance
            backend.check(*field)
        logger.info(
            "the cuda backend is in use: %s; 'device: triton' does without tinycudann, and may be "
            'faster', backend.about())
        return backend
    except Exception as error:  # its compiler, its GPU, memory: anything
        logger.info(
            'the cuda backend is in use: %s, with Triton alone; tinycudann may be faster, but is '
            'not in use: %s', triton.about(), error)
        return triton


def columns():
    """Return the module that makes maps of columns of voxels, in numpy on every backend."""
    try:
        return _load('numba_columns')
    except ImportError:
        return _load('reference_columns')


def _load(name):
    if name == 'triton':  # without a GPU it says that, and not what else is missing then
        importlib.import_module('instant_nerf_ros.nerf.backends.cuda.device')
        name = 'cuda'
    return importlib.import_module(f'instant_nerf_ros.nerf.backends.{name}')
