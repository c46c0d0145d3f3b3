"""The Python examples in the documentation run as they are, but for the number of steps."""
import re
from pathlib import Path

import numpy as np
import pytest
from scenes import CAMERA, poses, view

from instant_nerf_ros.nerf import Config, Mapper

DOCS = Path(__file__).parents[1] / 'docs'
BLOCKS = {
    'how-to/library.md': r'```python\n((?:.|\n)*?)```',
    'reference/python-api.rst': r'\.\. code-block:: python\n\n((?:   .*\n|\n)+)',
}
SHORTER = {
    'while not mapper.converged:': 'for _ in range(5):', '6000': '5',
    '640, 480, fx=525.0, fy=525.0, cx=319.5, cy=239.5': '64, 48, 48.0, 48.0, 31.5, 23.5'}


def examples(page):
    """Return the examples of a page."""
    return [re.sub(r'^   ', '', block, flags=re.M)
            for block in re.findall(BLOCKS[page], (DOCS / page).read_text())]


@pytest.mark.slow
@pytest.mark.parametrize(('page', 'number'), [
    (page, number) for page in BLOCKS for number in range(len(examples(page)))])
def test_an_example_runs(page, number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = examples(page)[number]
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    views = [(*view(CAMERA, pose), pose) for pose in poses(4)]
    mapper = Mapper(Config())
    for image, depth, pose in views:
        mapper.add(image, CAMERA, pose, depth)
    names = {
        'frames': views, 'mapper': mapper, 'images': [image for image, *_ in views],
        'cameras': [CAMERA] * 4, 'poses': [pose.copy() for *_, pose in views],
        'alphas': [np.full((CAMERA.height, CAMERA.width), 255, np.uint8)] * 4}
    exec(compile(text, f'{page}, example {number + 1}', 'exec'), names)
