"""The camera of a recording: its color images, their CameraInfo, and depth.

A recording may have several topics of images: those of other cameras, infrared, labels, previews.
The color camera is the one whose CameraInfo is usable and whose encoding is color; of several,
the one with the most messages.
"""
import dataclasses
import os.path
from typing import Any

from instant_nerf_ros.data.bags import Recording

DEPTH_ENCODINGS = ('16UC1', '32FC1')
GRAY_ENCODINGS = ('mono8', '8UC1', 'mono16')
# The suffixes of topics of compressed images, as image_transport appends them.
COMPRESSED, COMPRESSED_DEPTH = '/compressed', '/compressedDepth'


@dataclasses.dataclass(frozen=True)
class RecordedCamera:
    """The topics of a camera, without the suffixes of transports."""

    image: str
    camera_info: str
    depth: str  # '' without depth
    depth_camera_info: str  # '' without any
    image_transport: str  # 'raw' or 'compressed'
    depth_transport: str  # 'raw' or 'compressedDepth'
    reason: str  # of the choice


@dataclasses.dataclass(frozen=True)
class _Topic:
    """What the first message of a topic of images or of CameraInfo describes."""

    name: str
    count: int  # messages
    frame: str
    size: tuple[int, int] | None  # width and height [pixels], None if it is not known
    encoding: str = ''
    transport: str = 'raw'
    calibrated: bool = False

    @property
    def base(self) -> str:
        """The topic without the suffix of its transport."""
        return self.name.removesuffix(f'/{self.transport}')

    @property
    def namespace(self) -> str:
        return os.path.dirname(self.base)


def find_camera(recording: Recording) -> RecordedCamera:
    """Return the color camera of a recording and its depth.

    Raises ValueError if there is no color image with a CameraInfo.
    """
    topics = _first_messages(recording)
    infos = [topic for topic in topics if topic.encoding == 'CameraInfo']
    images = [topic for topic in topics if _color_rank(topic) and infos]
    if not images:
        raise ValueError(
            'the recording needs a topic of colour images and their CameraInfo; it has '
            + (', '.join(f'{topic.name} ({topic.encoding})' for topic in topics) or 'neither'))
    pairs = [(image, _info_of(image, infos)) for image in images]
    image, info = max(pairs, key=lambda pair: (
        _is_usable(*pair), _color_rank(pair[0]), pair[0].namespace == pair[1].namespace,
        pair[0].frame == pair[1].frame, pair[0].count, pair[0].transport == 'raw'))
    depth = max((topic for topic in topics if _is_depth(topic)), default=None, key=lambda topic: (
        topic.frame == image.frame and _same_size(topic, image), 'depth' in topic.name.lower(),
        topic.transport == 'raw', len(os.path.commonprefix([topic.name, image.name])),
        topic.count))
    others = ', '.join(f'{other.name} ({other.encoding}, {other.count})'
                       for other in images if other is not image)
    return RecordedCamera(
        image.base, info.name, depth.base if depth else '',
        _info_of(depth, infos).name if depth else '', image.transport,
        depth.transport if depth else 'raw',
        f'{image.name} ({image.encoding}, {image.count} messages) with {info.name} is the colour '
        f'camera, {depth.name if depth else "nothing"} its depth'
        + (f'; other images: {others}' if others else ''))


def _first_messages(recording: Recording) -> list[_Topic]:
    """Return the _Topics with messages, sorted by name; unreadable ones are left out."""
    from rosbags.typesys import Stores, get_typestore
    store = get_typestore(Stores.ROS2_HUMBLE)
    topics = []
    for name, kind in sorted(recording.types.items()):
        if kind.rpartition('/')[2] not in ('Image', 'CompressedImage', 'CameraInfo'):
            continue
        try:
            _, _, data = next(recording.messages([name]))
            topics.append(_describe(name, recording.counts[name], store.deserialize_cdr(
                data, kind)))
        except Exception:  # no message, or a malformed one, of which rosbags raises many kinds
            continue
    return topics


def _describe(name: str, count: int, message: Any) -> _Topic:
    frame = message.header.frame_id.lstrip('/')
    if hasattr(message, 'format'):
        transport = 'compressedDepth' if name.endswith(COMPRESSED_DEPTH) else 'compressed'
        return _Topic(name, count, frame, None, message.format, transport)
    size = int(message.width), int(message.height)
    if hasattr(message, 'encoding'):
        return _Topic(name, count, frame, size, message.encoding)
    return _Topic(name, count, frame, size if all(size) else None, 'CameraInfo',
                  calibrated=bool(message.k[0] > 0 or message.p[0] > 0))


def _is_depth(topic: _Topic) -> bool:
    if topic.transport != 'raw':
        return topic.transport == 'compressedDepth'
    return topic.encoding in DEPTH_ENCODINGS or (
        topic.encoding == 'mono16' and 'depth' in topic.name.lower())


def _color_rank(topic: _Topic) -> int:
    """Return 2 for color, 1 for gray, 0 for anything else."""
    if topic.encoding == 'CameraInfo' or _is_depth(topic):
        return 0
    if topic.transport == 'compressed' and not topic.name.endswith(COMPRESSED):
        return 0  # not a name that image_transport could subscribe to
    encoding = topic.encoding.partition(';')[0]
    if encoding in DEPTH_ENCODINGS:
        return 0
    return 1 if encoding in GRAY_ENCODINGS else 2


def _info_of(image: _Topic, infos: list[_Topic]) -> _Topic:
    """Return the CameraInfo that belongs to an image."""
    return max(infos, key=lambda info: (
        _is_usable(image, info), info.namespace == image.namespace, info.frame == image.frame,
        len(os.path.commonprefix([info.name, image.name])), info.count))


def _is_usable(image: _Topic, info: _Topic) -> bool:
    """Return whether a CameraInfo is calibrated, and is of the size of an image."""
    return info.calibrated and _same_size(image, info)


def _same_size(one: _Topic, other: _Topic) -> bool:
    return one.size == other.size or None in (one.size, other.size)
