"""Depth network: an ONNX file that estimates depth from one image, run by onnxruntime."""
from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from instant_nerf_ros.nerf.arrays import Image

PROVIDERS = 'TensorrtExecutionProvider', 'CUDAExecutionProvider', 'CPUExecutionProvider'
SIDE, PATCH = 518, 14  # pixels: the longer side of an input of any size; its sides are multiples
TOKENS = 1800  # of MoGe, for its second input; it recommends 1200 to 2500
IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
TYPES = {
    'tensor(float)': np.float32, 'tensor(float16)': np.float16, 'tensor(uint8)': np.uint8}
LARGEST_DIFFERENCE = 0.05  # median, relative, between what a provider and the CPU say
MIN_FINITE = 0.5  # share of the values


class DepthNetwork:
    """Estimates depth from images; in which unit and form, the fit to known points finds out.

    The input is the one with three channels: (1, 3, H, W) or (1, H, W, 3), of a fixed or any size.
    Of the outputs, z of one whose last axis has three values and whose name contains 'point' is
    taken; else the first one that is (1, H, W), (1, 1, H, W) or (1, H, W, 1), unless its name
    contains 'mask', 'conf' or 'normal'.
    """

    def __init__(self, path: str, normalization: str, image: Image) -> None:
        """Load a file, and try providers on an image; the first one that says what the CPU says.

        normalization: 'imagenet', 'unit' (0 to 1), or 'auto': 'unit' for outputs of points or an
        input of bytes, else 'imagenet'. Raises ValueError, with what is wrong.
        """
        try:
            self._runtime: Any = importlib.import_module('onnxruntime')
        except ImportError as error:
            raise ValueError('onnxruntime is not installed: pip install onnxruntime') from error
        self._path = path
        self._session = self._load('CPUExecutionProvider')
        self._input, self._extra = self._inputs()
        self._output, self._is_points = self._depth_output()
        self._normalization = normalization if normalization != 'auto' else (
            'unit' if self._is_points or self._input.type == 'tensor(uint8)' else 'imagenet')
        self.provider = 'CPUExecutionProvider'
        self._trust_fastest(image, self(image))

    def __call__(self, image: Image) -> NDArray[np.float32]:
        """Return what the network says (h, w) about an image (H, W, 3), over all of it.

        Raises ValueError if that is not finite, or anything else goes wrong.
        """
        try:
            [result] = self._session.run(
                [self._output], {self._input.name: self._tensor(image), **self._extra})
        except Exception as error:  # of the runtime, which documents no types
            raise ValueError(f'{self._path} cannot be run: {_first_line(error)}') from error
        values = np.asarray(result, np.float32)
        values = values[0, ..., 2] if self._is_points else values.squeeze()
        if values.ndim != 2:
            raise ValueError(f"the output '{self._output}' of {self._path} is no image of depth: "
                             f'it has the shape {np.shape(result)}')
        finite = float(np.isfinite(values).mean())
        if finite < MIN_FINITE:
            raise ValueError(f'{100 * (1 - finite):.0f} % of what {self._path} returns is not '
                             'finite: is it the right normalization, and half precision enough?')
        return values

    def _load(self, provider: str) -> Any:
        try:
            session = self._runtime.InferenceSession(self._path, providers=[provider])
        except Exception as error:  # of the runtime, which documents no types
            raise ValueError(
                f'{self._path} cannot be loaded as an ONNX file: {_first_line(error)}') from error
        if session.get_providers()[0] != provider:
            raise ValueError(f'{provider} is not available')
        return session

    def _inputs(self) -> tuple[Any, dict[str, Any]]:
        """Return the input for the image, and the values of the others by name."""
        inputs = self._session.get_inputs()
        images = [each for each in inputs
                  if len(each.shape) == 4 and 3 in each.shape[1:] and each.type in TYPES]
        extra = {each.name: np.array(TOKENS, np.int64) for each in inputs
                 if each.name == 'num_tokens' and each.type == 'tensor(int64)'}
        if len(images) != 1 or len(inputs) != 1 + len(extra):
            raise ValueError(
                f'{self._path} must have one input (1, 3, H, W) for an image, has '
                + ', '.join(f"'{each.name}' {each.shape} {each.type}" for each in inputs))
        return images[0], extra

    def _depth_output(self) -> tuple[str, bool]:
        """Return the name of the output to use, and whether it is of points."""
        outputs = self._session.get_outputs()
        for each in outputs:
            if 'point' in each.name.lower() and len(each.shape) == 4:
                return each.name, True
        for each in outputs:
            if len(each.shape) in (3, 4) and not any(
                    word in each.name.lower() for word in ('mask', 'conf', 'normal')):
                return each.name, False
        raise ValueError(f'{self._path} has no output of depth or points, only '
                         + ', '.join(f"'{each.name}' {each.shape}" for each in outputs))

    def _tensor(self, image: Image) -> NDArray[Any]:
        first = self._input.shape[1] == 3
        height, width = self._input.shape[2:] if first else self._input.shape[1:3]
        if not (isinstance(height, int) and isinstance(width, int)):
            scale = SIDE / max(image.shape[:2])
            height, width = (
                max(round(size * scale / PATCH), 1) * PATCH for size in image.shape[:2])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        dtype = TYPES[self._input.type]
        values = np.asarray(small) if dtype == np.uint8 else small / 255.0
        if self._normalization == 'imagenet':
            values = (values - IMAGENET[0]) / IMAGENET[1]
        return np.ascontiguousarray(
            (values.transpose(2, 0, 1) if first else values)[None], dtype=dtype)

    def _trust_fastest(self, image: Image, expected: NDArray[np.float32]) -> None:
        """Use the first provider that runs, and says the same about an image as the CPU."""
        cpu = self._session
        for provider in self._accelerators():
            try:
                self._session = self._load(provider)
                difference = np.nanmedian(abs(self(image) - expected)) / max(
                    float(np.nanmedian(abs(expected))), 1e-9)
            except ValueError:
                difference = math.inf
            if difference < LARGEST_DIFFERENCE:
                self.provider = provider
                return
        self._session = cpu

    def _accelerators(self) -> Iterator[str]:
        available = self._runtime.get_available_providers()  # promises more than really runs
        yield from (each for each in PROVIDERS[:-1] if each in available)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [repr(error)])[0]
