"""Maps of random buildings from color and poses alone, without depth.

python benchmarks/yard_color.py --dev             the scenes that rules are developed with
python benchmarks/yard_color.py --reported        the scenes that are only reported
python benchmarks/yard_color.py --seeds 2 5 --no-drives --exact --pictures /tmp/yard
"""
import dataclasses
import sys

import yard
from datasets import BODY
from maps import mapped_result
from report import Table
from yard_mapper import add_frames
from yard_peers import plan_drives
from yard_scenes import REPORTED, ROTATION, TRANSLATION, base_poses, load_yard, recording

from instant_nerf_ros.nerf import Config, Mapper, replace

# Color needs more images than depth does: distances follow from what several of them see.
SPACING = 0.2  # m, between two images, or an angle that is smaller by as much
STEPS = 6  # of training after an image
MORE_STEPS = 1000  # after the last image
BODY_ALONE, NOW, LATER = 'the body alone', 'last image', f'{MORE_STEPS:,} steps later'
BRIEF = {  # figures of the table with a line for each scene
    '2.5 cm: success [%]': '2.5 cm: success [%]',
    '2.5 cm: collisions': 'collisions',
    'free: recall, 2D [%]': 'free: recall, 2D [%]',
    'free that is occupied, 2D [%]': 'free that is occupied, 2D [%]',
    'occupied found, within a voxel [%]': 'occupied found, within a voxel [%]',
    'occupied correct, within a voxel [%]': 'correct [%]',
}


def measure(options):
    """Return the tables of the scenes that are only reported."""
    *scenes, summary = yard.tables(list(REPORTED), True, False, None, load, mapped)
    return [brief(scenes), summary]


def load(scene, exact):
    """Return what is Recorded of a scene, with images that are closer together, without depth."""
    _, drive = recording(scene, exact)
    captures = drive.captures(SPACING, SPACING / TRANSLATION * ROTATION)
    return dataclasses.replace(load_yard(scene, exact), frames=[
        dataclasses.replace(capture.frame, depth=None) for capture in captures])


def mapped(recorded, exact, space, python):
    """Return the maps of a scene, and what was Driven on them by their titles."""
    base = base_poses(recorded.scene, exact)
    mapper = Mapper(replace(Config(), BODY))
    seconds = add_frames(mapper, recorded.frames, base, STEPS)
    results = [body_alone(recorded, base), mapped_result(NOW, mapper, recorded.truth, seconds)]
    for _ in range(MORE_STEPS):
        mapper.step()
    results.append(mapped_result(LATER, mapper, recorded.truth, seconds))
    return results, {} if space is None else {
        each.title: plan_drives(each, space, recorded, python) for each in results}


def body_alone(recorded, base):
    """Return the map of what the body has freed, with one image that was not trained on."""
    mapper, frames = Mapper(replace(Config(), BODY)), recorded.frames
    seconds = add_frames(
        mapper, [dataclasses.replace(frames[0], stamp=frames[-1].stamp)], base)
    return mapped_result(BODY_ALONE, mapper, recorded.truth, seconds)


def brief(tables: list[Table]) -> Table:
    """Return a table with a line for each scene: what its map is MORE_STEPS later."""
    rows = []
    for table in tables:
        column = table.headings.index(LATER)
        figures = {row[0]: row[column] for row in table.rows}
        rows.append([table.headings[0], *(figures[name] for name in BRIEF)])
    return Table([LATER, *BRIEF.values()], rows)


if __name__ == '__main__':
    sys.exit(yard.main(__doc__, load=load, mapped=mapped))
