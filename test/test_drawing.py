"""Pictures of the demo."""
import runpy
from pathlib import Path

import numpy as np
import pytest

DRAWING = Path(__file__).parents[1] / 'examples' / 'drawing.py'


@pytest.mark.parametrize('known', [0, 1])
def test_a_map_is_drawn_however_little_of_it_is_known(known):
    cells = np.full((20, 30), -1, np.int8)
    cells[:known, :known] = 0
    picture = runpy.run_path(str(DRAWING))['draw_map'](
        cells, (0.0, 0.0), 0.05, np.zeros((0, 3)), 'title', [])
    assert picture.ndim == 3 and picture.min() < picture.max()
