"""A browser without a screen: it speaks the protocol of viser's page, which costs little."""
import threading
import time

import msgspec
import numpy as np
import viser
import zstandard
from scipy.spatial.transform import Rotation
from viser import _messages
from waiting import wait_until
from websockets.sync.client import connect


class ViewerClient:
    """Joins a page, moves its camera, and keeps what it is sent."""

    def __init__(self, url, size=(800, 600), **options):
        """Join the page at http://host:port/, with options of websockets."""
        self._socket = connect(
            url.replace('http:', 'ws:'), subprotocols=[f'viser-v{viser.__version__}'],
            max_size=None, compression=None, **options)
        self._size, self.messages, self.pictures = size, [], []  # pictures: (arrival [s], bytes)
        self._position = np.zeros(3)
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()
        self.move((0.0, 0.0, 1.0))

    def __enter__(self):
        """Return itself."""
        return self

    def __exit__(self, *_):
        """Leave the page."""
        self._socket.close()
        self._thread.join()

    def move(self, position, target=None, fov=1.0):
        """Look from a position at a target, along x by default; return when [s]."""
        position = np.asarray(position, float)
        target = position + (1.0, 0.0, 0.0) if target is None else np.asarray(target, float)
        ahead = (target - position) / np.linalg.norm(target - position)
        right = np.cross(ahead, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        x, y, z, w = Rotation.from_matrix(
            np.column_stack([right, np.cross(ahead, right), ahead])).as_quat()
        now = time.monotonic()
        self.send(_messages.ViewerCameraMessage(
            (w, x, y, z), tuple(position), fov, 0.01, 1000.0, self._size[1], self._size[0],
            tuple(target), (0.0, 0.0, 1.0)))
        return now

    def send(self, message):
        """Send a message of viser."""
        self._socket.send(msgspec.msgpack.encode(message.as_serializable_dict([])))

    def set(self, label, value):
        """Set the checkbox, slider or button with a label."""
        wait_until(lambda: self.find(label), 30.0)
        uuid = self.find(label)['uuid']
        self.send(_messages.GuiUpdateMessage(uuid, {'value': value}))

    def find(self, label):
        """Return the latest message that creates the element with a label, None without one."""
        for message in reversed(self.messages):
            props = message.get('props')
            if isinstance(props, dict) and props.get('label') == label:
                return message
        return None

    def names(self):
        """Return the names of the objects of the scene that were sent."""
        return {message['name'] for message in self.messages if 'name' in message}

    def text(self):
        """Return all texts of the panels that were sent."""
        return '\n'.join(_texts(self.messages))

    def _receive(self):
        decompressor = zstandard.ZstdDecompressor()
        try:
            for data in self._socket:
                size = int.from_bytes(data[:8], 'little')
                packed = int.from_bytes(data[8:16], 'little')
                content = msgspec.msgpack.decode(decompressor.decompress(
                    data[16:16 + packed], max_output_size=size))
                now = time.monotonic()
                for message in content['messages']:
                    if message['type'] == 'BackgroundImageMessage':
                        if message['rgb_data'] is not None:
                            self.pictures.append((now, message['rgb_data']))
                    else:
                        self.messages.append(message)
        except Exception as error:  # the page has gone
            self.error = error


def _texts(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _texts(each)
