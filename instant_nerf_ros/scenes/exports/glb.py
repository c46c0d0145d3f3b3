"""GLB: binary glTF 2.0, with one primitive of a z-up world.

glTF is y-up. A node turns the primitive upright, and another one moves it to its place, so that
the positions themselves stay in the axes of the world, and precise far from its origin.
"""
import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS, TRIANGLES = 0, 4  # modes of a primitive
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
COMPONENT_TYPES = {'uint8': 5121, 'uint16': 5123, 'uint32': 5125, 'float32': 5126}
TYPES = {1: 'SCALAR', 2: 'VEC2', 3: 'VEC3', 4: 'VEC4'}  # by the number of components
Y_UP_FROM_Z_UP = [-math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]  # quaternion x, y, z, w
JSON_CHUNK, BINARY_CHUNK = b'JSON', b'BIN\0'


def glb(
    attributes: Mapping[str, NDArray[Any]], origin: NDArray[np.float64], mode: int,
    faces: NDArray[np.uint32] | None = None, primitive: Mapping[str, Any] | None = None,
    document: Mapping[str, Any] | None = None, image: bytes | None = None,
) -> bytes:  # fmt: skip
    """Return the bytes of a GLB file with one primitive.

    attributes: arrays (N,) or (N, C) of vertices by semantic, POSITION relative to origin (3,);
    integers but faces (M, 3) are normalized. primitive, document: other properties of the
    primitive and of the glTF. image: a PNG, as image 0.
    """
    chunks: list[bytes] = []
    views: list[dict[str, Any]] = []

    def add(data: bytes, **properties: Any) -> int:
        views.append({'buffer': 0, 'byteOffset': sum(map(len, chunks)), 'byteLength': len(data),
                      **properties})
        chunks.append(data + bytes(-len(data) % 4))
        return len(views) - 1

    accessors: list[dict[str, Any]] = []
    indices = {}
    for name, array in attributes.items():
        table = np.ascontiguousarray(array).reshape(len(array), -1)
        accessor = {
            'bufferView': add(table.tobytes(), target=ARRAY_BUFFER), 'count': len(table),
            'componentType': COMPONENT_TYPES[str(table.dtype)], 'type': TYPES[table.shape[1]]}
        if table.dtype != np.float32:
            accessor['normalized'] = True
        if name == 'POSITION':  # glTF requires these
            accessor.update(min=table.min(axis=0).tolist(), max=table.max(axis=0).tolist())
        indices[name] = len(accessors)
        accessors.append(accessor)
    made: dict[str, Any] = {'attributes': indices, 'mode': mode, **(primitive or {})}
    if faces is not None:
        made['indices'] = len(accessors)
        accessors.append({
            'bufferView': add(np.ascontiguousarray(faces, np.uint32).tobytes(),
                              target=ELEMENT_ARRAY_BUFFER),
            'count': faces.size, 'componentType': COMPONENT_TYPES['uint32'], 'type': 'SCALAR'})
    gltf = {
        'asset': {'version': '2.0', 'generator': 'instant_nerf_ros'},
        'scene': 0, 'scenes': [{'nodes': [0]}],
        'nodes': [{'rotation': Y_UP_FROM_Z_UP, 'children': [1]},
                  {'mesh': 0, 'translation': [float(number) for number in origin]}],
        'meshes': [{'primitives': [made]}], 'accessors': accessors, **(document or {})}
    if image is not None:
        gltf['images'] = [{'bufferView': add(image), 'mimeType': 'image/png'}]
    gltf['bufferViews'], gltf['buffers'] = views, [{'byteLength': sum(map(len, chunks))}]
    text = json.dumps(gltf, separators=(',', ':')).encode()
    parts = [(JSON_CHUNK, text + b' ' * (-len(text) % 4)), (BINARY_CHUNK, b''.join(chunks))]
    body = b''.join(struct.pack('<I4s', len(data), kind) + data for kind, data in parts)
    return struct.pack('<4sII', b'glTF', 2, 12 + len(body)) + body
