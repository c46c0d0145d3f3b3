"""Recorded ROS 2 bags, read by the rosbags package without a ROS installation."""
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

# The types that a mapper can use; other messages of a bag are skipped.
MESSAGE_TYPES = frozenset((
    'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage', 'sensor_msgs/msg/CameraInfo',
    'tf2_msgs/msg/TFMessage'))


def is_bag(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is the folder of a rosbag2."""
    return (Path(path) / 'metadata.yaml').is_file()


@contextlib.contextmanager
def open_bag(
    path: str | os.PathLike[str],
) -> Iterator[tuple[dict[str, str], Iterator[tuple[int, str, bytes]]]]:  # fmt: skip
    """Open a rosbag2; yield its {topic: message type} and an iterator over its messages.

    The iterator yields (time of recording [ns], topic, serialized message); both are limited to
    MESSAGE_TYPES. Raises ImportError without the rosbags package, ValueError for a bag that
    cannot be read or that has no image.
    """
    try:
        from rosbags.rosbag2 import Reader, ReaderError
    except ImportError as error:
        raise ImportError(
            f'reading a bag needs the rosbags package ({error}): pip install rosbags') from None
    try:
        with Reader(Path(path)) as reader:
            connections = [c for c in reader.connections if c.msgtype in MESSAGE_TYPES]
            if not any('Image' in connection.msgtype for connection in connections):
                raise ValueError(f'{path} holds no sensor_msgs/Image or CompressedImage')
            yield (
                {connection.topic: connection.msgtype for connection in connections},
                ((stamp, connection.topic, bytes(data))
                 for connection, stamp, data in reader.messages(connections)))
    except ReaderError as error:
        raise ValueError(f'{path} cannot be read: {error}') from error
