"""How Nav2 reads a map, reimplemented after its sources (main, a3a97043)."""
import math

import numpy as np
import yaml
from PIL import Image

LETHAL, FREE, NO_INFORMATION = 254, 0, 255  # nav2_costmap_2d/cost_values.hpp
LARGEST = 32767  # cells along a side


def refusal(message):
    """Return why Nav2 would refuse a nav_msgs/OccupancyGrid, None if it accepts it.

    As validateMsg of nav2_ros_common/validate_messages.hpp.
    """
    info = message.info
    position, q = info.origin.position, info.origin.orientation
    checks = {
        'frame_id': message.header.frame_id != '',
        'stamp': message.header.stamp.nanosec < 1e9,
        'origin': all(map(math.isfinite, (position.x, position.y, position.z))),
        'orientation': abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1) < 1e-4,
        'resolution': info.resolution >= 1e-6,
        'size': 0 < info.width <= LARGEST and 0 < info.height <= LARGEST,
        'data': len(message.data) == info.width * info.height,
    }
    return next((name for name, passed in checks.items() if not passed), None)


def misalignment(origin, resolution):
    """Return the offset of an origin from the cells of StaticLayer [m], which may be 1e-5 m."""
    return max(abs(math.fmod(coordinate, float(np.float32(resolution)))) for coordinate in origin)


def costs(data, lethal=100, track_unknown=True):
    """Return the costs (N,) of the values of a map, as StaticLayer::interpretValue (trinary)."""
    values = np.asarray(data, np.int8).view(np.uint8)  # as the C++ code reads them
    result = np.where(values >= lethal, LETHAL, FREE)
    result[values == 255] = NO_INFORMATION if track_unknown else FREE
    return result


def load_map(path, humble=False):
    """Return cells (height, width), resolution and origin (x, y, yaw) of a map.yaml.

    As loadMapFromYaml and loadMapFromFile of nav2_map_server/map_io.cpp. Humble compares strictly.
    """
    with open(path) as file:
        metadata = yaml.safe_load(file)
    assert metadata['mode'] == 'trinary' and len(metadata['origin']) == 3
    with Image.open(path.parent / metadata['image']) as image:
        assert image.format == 'PPM' and image.mode == 'L'  # one channel, no alpha
        gray = np.asarray(image, np.float64)
    occupied = gray / 255 if metadata['negate'] else 1 - gray / 255
    above, below = (np.greater, np.less) if humble else (np.greater_equal, np.less_equal)
    cells = np.full(gray.shape, -1, np.int8)
    cells[below(occupied, metadata['free_thresh'])] = 0
    cells[above(occupied, metadata['occupied_thresh'])] = 100
    # The first row of an image is the top one, the first of a map the one with the lowest y.
    return cells[::-1], metadata['resolution'], metadata['origin']
