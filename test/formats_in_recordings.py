"""Cases of recordings."""
import shutil

from format_cases import READ, REFUSED, REPORTED, Case, Section
from recordings import COLOR, COUNT, drive, write_bag, write_ros1

from instant_nerf_ros.data.bags import is_bag, open_recording
from instant_nerf_ros.data.cameras import find_camera

PLAYED = 1 + 9 * COUNT  # /tf_static, and a message on each other topic of a type that is played


def plays(path, count=PLAYED):
    """Return whether a recording holds so many messages, and its colour camera is found."""
    if not is_bag(path):
        raise ValueError(f'{path} is taken for something else')
    with open_recording(path) as recording:
        return find_camera(recording).image == COLOR and count == sum(
            1 for _ in recording.messages())


def bag(change, storage='MCAP', **options):
    """Return a function that plays what change(folder of a bag) returns."""
    return lambda path: plays(change(write_bag(path / 'bag', drive(), storage, **options)))


def itself(path):
    return path


def file_of(path):
    return next(path.glob('bag.*'))


def without_metadata(path):
    (path / 'metadata.yaml').unlink()
    return path


def metadata(old, new):
    """Return a change of the text of metadata.yaml."""
    def change(path):
        file = path / 'metadata.yaml'
        file.write_text(file.read_text().replace(old, new) if old else new)
        return path
    return change


def renamed(suffix):
    """Return a change of the suffix of a storage file."""
    return lambda path: shutil.copy(file_of(path), path.parent / f'x{suffix}')


def truncated(path):
    data = file_of(path).read_bytes()
    (path.parent / f'half{file_of(path).suffix}').write_bytes(data[:len(data) // 2])
    return path.parent / f'half{file_of(path).suffix}'


def without_file(path):
    file_of(path).unlink()
    return path


def drive_with(**topics):
    """Return a function that plays a drive with other topics."""
    return lambda path: plays(
        write_bag(path / 'bag', messages := drive(**topics)), len(messages) - COUNT)


RECORDINGS = Section('Recordings', (
    'Played are Image, CompressedImage, CameraInfo, TFMessage, LaserScan, PointCloud2, Odometry, '
    'PoseStamped\nand Path. The choice of the colour camera and the topics in use are printed.'), [
    Case('rosbag2, MCAP', READ, bag(itself), 'messages'),
    Case('rosbag2, SQLite', READ, bag(itself, 'SQLITE3'), 'messages'),
    Case('rosbag2, compressed messages', READ, bag(itself, compress=True), 'messages'),
    Case('a bare .mcap', READ, bag(file_of), 'messages'),
    Case('a bare .db3', READ, bag(file_of, 'SQLITE3'), 'messages'),
    Case('its metadata.yaml', READ, bag(lambda path: path / 'metadata.yaml'), 'messages'),
    Case('ROS 1 .bag, also tf/tfMessage', READ, lambda path: plays(
        write_ros1(path / 'x.bag', drive())), 'messages'),
    *(Case(what, REPORTED, bag(change), 'ros2 bag reindex') for what, change in (
        ('no metadata.yaml', without_metadata),
        ('an empty storage identifier', metadata('identifier: mcap', "identifier: ''")),
        ('the identifier of another storage', metadata('identifier: mcap', 'identifier: sqlite3')),
        ('an unknown version', metadata('version: 9', 'version: 99')),
        ('an empty metadata.yaml', metadata('', '')),
        ('a file that was renamed', metadata('bag.mcap', 'other.mcap')))),
    Case('truncated .mcap', REFUSED, bag(truncated), 'mcap recover'),
    Case('truncated .db3', REFUSED, bag(truncated, 'SQLITE3'), '.recover'),
    Case('lost storage file', REFUSED, bag(without_file), 'are missing'),
    *(Case(f'MCAP with the suffix `{suffix}`', REFUSED, bag(renamed(suffix)),
           'rename it to *.mcap')
      for suffix in ('', '.MCAP', '.db3')),
    *(Case(f'`{suffix}`', REFUSED, bag(renamed(suffix)), 'decompress it')
      for suffix in ('.mcap.zstd', '.bag.gz', '.zip')),
    Case('a folder of several recordings', REFUSED, bag(lambda path: path.parent),
         'choose one of them'),
    Case('no image', REFUSED, drive_with(images=()), 'needs a topic of colour images'),
    Case('no CameraInfo', REFUSED, drive_with(infos=()), 'needs a topic of colour images'),
    *(Case(f'{encoding} beside the colour image, first by name', READ, drive_with(
        images=(('/a/image', encoding, 'cam'), (COLOR, 'rgb8', 'cam'))), 'the colour is chosen')
      for encoding in ('mono8', '8UC1', '16UC1', '32FC1')),
])
