"""Recorded bags of ROS 2 and ROS 1, read by the rosbags package without a ROS installation."""
import contextlib
import heapq
import os
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from instant_nerf_ros.data.parsing import enumeration
from instant_nerf_ros.data.storage_files import (
    COMPRESSED,
    METADATA,
    REPAIRS,
    ROS1_SUFFIXES,
    check_file,
    compressed_files,
    content_suffix,
    damage,
    one_line,
    recordings_in,
    storage_files,
)

# The types that a mapper can use; other messages of a bag are skipped.
MESSAGE_TYPES = frozenset((
    'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage', 'sensor_msgs/msg/CameraInfo',
    'sensor_msgs/msg/LaserScan', 'sensor_msgs/msg/PointCloud2', 'tf2_msgs/msg/TFMessage',
    'nav_msgs/msg/Odometry', 'nav_msgs/msg/Path', 'geometry_msgs/msg/PoseStamped'))
ROS1_NAMES = {'tf/msg/tfMessage': 'tf2_msgs/msg/TFMessage'}
ZSTD = b'\x28\xb5\x2f\xfd'  # first bytes of compressed data

Message = tuple[int, str, bytes]  # time of recording [ns], topic, serialized message (CDR)


def is_bag(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a recording: a storage file, or a folder with one.

    Those that are compressed, that have another suffix or that lie one folder deeper count, too:
    `open_recording` says what to do with them.
    """
    path = Path(path)
    if path.is_file():
        return (path.suffix in (*REPAIRS, *COMPRESSED) or path.name == METADATA
                or content_suffix(path) is not None)
    if (path / METADATA).is_file():
        return True
    posed = any((path / name).is_file() for name in ('transforms.json', 'intrinsics.json'))
    return not posed and bool(
        storage_files(path) or compressed_files(path) or recordings_in(path))


class Recording:
    """The messages of a recording that are of MESSAGE_TYPES."""

    def __init__(
        self, path: Path, readers: list[Any], convert: Callable[[bytes, str], bytes],
    ) -> None:  # fmt: skip
        """Take opened readers of rosbags, and a function (data, message type) -> CDR."""
        self._path, self._readers, self._convert = path, readers, convert
        self.types: dict[str, str] = {}  # by topic
        self.counts: dict[str, int] = {}  # messages by topic
        for connection in (c for reader in readers for c in reader.connections):
            name = ROS1_NAMES.get(connection.msgtype, connection.msgtype)
            topic = connection.topic
            if name in MESSAGE_TYPES and self.types.setdefault(topic, name) == name:
                self.counts[topic] = self.counts.get(topic, 0) + (connection.msgcount or 0)

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Message]:
        """Yield the messages of some topics (None: of all) in the order of recording.

        Raises ValueError where the recording is damaged.
        """
        parts = [self._read(reader, self.types if topics is None else topics)
                 for reader in self._readers]
        return heapq.merge(*parts, key=lambda message: message[0])

    def _read(self, reader: Any, topics: Collection[str]) -> Iterator[Message]:
        connections = [
            connection for connection in reader.connections if connection.topic in topics
            and ROS1_NAMES.get(connection.msgtype, connection.msgtype)
            == self.types.get(connection.topic)]
        if not connections:
            return
        try:
            for connection, stamp, data in reader.messages(connections):
                yield stamp, connection.topic, self._convert(
                    bytes(data), self.types[connection.topic])
        except OSError:
            raise
        except Exception as error:  # rosbags raises many kinds for damaged data
            raise ValueError(damage(reader.path or self._path, error)) from error


@contextlib.contextmanager
def open_recording(path: str | os.PathLike[str]) -> Iterator[Recording]:
    """Open a rosbag2 (a folder or a storage file) or a ROS 1 bag.

    Without a usable metadata.yaml, the storage files of a folder are read one by one; a warning
    names those that are damaged. Raises ImportError without the rosbags package, OSError or
    ValueError for a recording that cannot be read or that has no image.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        readers, convert = _open(path, stack)
        recording = Recording(path, readers, convert)
        if not any(recording.counts[topic] for topic, name in recording.types.items()
                   if 'Image' in name):
            there = sorted({f'{connection.topic} ({connection.msgtype})' for reader in readers
                            for connection in reader.connections if connection.msgcount})
            raise ValueError(
                f'{path} holds no sensor_msgs/Image or CompressedImage, but '
                f"{enumeration(there) or 'no message at all'}")
        yield recording


@contextlib.contextmanager
def open_bag(
    path: str | os.PathLike[str],
) -> Iterator[tuple[dict[str, str], Iterator[Message]]]:  # fmt: skip
    """Open a recording; yield its {topic: message type} and an iterator over its messages.

    See `open_recording` for the errors.
    """
    with open_recording(path) as recording:
        yield recording.types, recording.messages()


def _open(
    path: Path, stack: contextlib.ExitStack,
) -> tuple[list[Any], Callable[[bytes, str], bytes]]:  # fmt: skip
    """Return the opened readers of rosbags, and the conversion of their messages to CDR."""
    try:
        from rosbags import rosbag1, rosbag2
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise ImportError(
            f'reading a bag needs the rosbags package ({error}): pip install rosbags') from None
    if not path.exists():
        raise FileNotFoundError(f'{path} does not exist')
    path = path.parent if path.name == METADATA else path
    if path.is_file():
        check_file(path)
    reason = f'there is no {METADATA}'
    if (path / METADATA).is_file():
        try:
            return [stack.enter_context(rosbag2.Reader(path))], _uncompressed
        except Exception as error:  # rosbags raises many kinds for damaged files
            reason = f'{METADATA} cannot be used: {one_line(error)}'
    files = [path] if path.is_file() else storage_files(path)
    if not files and not (path / METADATA).is_file():
        if packed := compressed_files(path):
            check_file(packed[0])
        raise ValueError(f'{path} holds several recordings, choose one of them: '
                         f'{enumeration([str(each) for each in recordings_in(path)])}')
    if not files:
        raise ValueError(f'{path} cannot be read: {reason}; `ros2 bag reindex {path}` writes '
                         f'another {METADATA}')
    is_ros1 = {file.suffix in ROS1_SUFFIXES for file in files}
    if len(is_ros1) > 1:
        raise ValueError(f'{path} holds bags of ROS 1 and of ROS 2: choose one of the files')
    readers, damaged = [], []
    for file in files:
        try:
            reader = (rosbag1.Reader if True in is_ros1 else rosbag2.Reader)(file)
            readers.append(stack.enter_context(reader))
        except Exception as error:
            damaged.append(damage(file, error))
    if not readers:
        raise ValueError(enumeration(damaged))
    if path.is_dir():
        warnings.warn(
            f'{path}: {reason}; its storage files are read without it; `ros2 bag reindex {path}` '
            'writes another', stacklevel=5)
    if damaged:
        warnings.warn(
            f'{len(damaged)} of {len(files)} files cannot be read and are left out: '
            f'{enumeration(damaged)}', stacklevel=5)
    store = get_typestore(Stores.ROS2_HUMBLE)
    return readers, (
        (lambda data, name: bytes(store.ros1_to_cdr(data, name))) if True in is_ros1
        else _uncompressed)


def _uncompressed(data: bytes, _: str) -> bytes:
    if data.startswith(ZSTD):
        raise ValueError(f'its messages are compressed, and {METADATA}, which describes that, '
                         'is missing')
    return data
