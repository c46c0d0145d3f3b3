"""Helpers: the painted room of scenes.py, written as others write posed images."""
import json

import cv2
import numpy as np
from scenes import CAMERA, poses, view

from instant_nerf_ros.data.frames import Frame

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
STAMP = 1_700_000_000_000_000_000  # ns, of the first message of a bag


def room(count=10):
    """Return Frames of the painted room, with depth."""
    return [Frame(0, *(image, CAMERA, pose, depth))
            for pose in poses(count) for image, depth in [view(CAMERA, pose)]]


def write_image(path, image, alpha=None):
    """Write an image (H, W, 3) RGB losslessly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = image[..., ::-1] if alpha is None else np.dstack([image[..., ::-1], alpha])
    assert cv2.imwrite(str(path), np.ascontiguousarray(pixels))


def write_images(folder, frames, alpha=None):
    """Write images 000.png, 001.png, ... and return their names."""
    names = [f'{index:03d}.png' for index in range(len(frames))]
    for name, frame in zip(names, frames):
        write_image(folder / name, frame.image, alpha)
    return names


def transforms(frames, names, camera=CAMERA):
    """Return a transforms.json of frames."""
    return {
        'fl_x': camera.fx, 'fl_y': camera.fy, 'cx': camera.cx + 0.5, 'cy': camera.cy + 0.5,
        'w': camera.width, 'h': camera.height,
        'frames': [
            {'file_path': name, 'transform_matrix': (frame.T_world_camera @ OPENGL).tolist()}
            for name, frame in zip(names, frames)]}


def write_transforms(folder, frames):
    """Write what instant-ngp reads."""
    names = write_images(folder / 'images', frames)
    document = transforms(frames, [f'images/{name}' for name in names])
    (folder / 'transforms.json').write_text(json.dumps(document))


def write_rgbd(folder, frames):
    """Write posed frames with depth in millimetres."""
    write_transforms(folder, frames)
    document = json.loads((folder / 'transforms.json').read_text())
    for index, (entry, frame) in enumerate(zip(document['frames'], frames)):
        entry['depth_file_path'] = f'depth/{index:03d}.png'
        (folder / 'depth').mkdir(exist_ok=True)
        cv2.imwrite(str(folder / entry['depth_file_path']),
                    (frame.depth * 1000 + 0.5).astype(np.uint16))
    document['integer_depth_scale'] = 0.001
    (folder / 'transforms.json').write_text(json.dumps(document))


def write_synthetic(folder, frames, alpha=None):
    """Write what Blender's script of NeRF writes: two thirds to train on, the rest to test."""
    split = 2 * len(frames) // 3
    for name, part in (('train', frames[:split]), ('test', frames[split:])):
        write_images(folder / name, part, alpha)
        document = transforms(part, [f'./{name}/{index:03d}' for index in range(len(part))])
        angle = 2 * np.arctan(CAMERA.width / CAMERA.fx / 2)
        (folder / f'transforms_{name}.json').write_text(json.dumps(
            {'camera_angle_x': angle, 'frames': document['frames']}))


def write_colmap_text(folder, frames):
    """Write a COLMAP model as text, with points on what each image shows."""
    names = write_images(folder / 'images', frames)
    model = folder / 'sparse' / '0'
    model.mkdir(parents=True)
    (model / 'cameras.txt').write_text(
        f'# a comment\n1 PINHOLE {CAMERA.width} {CAMERA.height} {CAMERA.fx} {CAMERA.fy} '
        f'{CAMERA.cx + 0.5} {CAMERA.cy + 0.5}\n')
    images, points = [], []
    for index, (name, frame) in enumerate(zip(names, frames)):
        T = np.linalg.inv(frame.T_world_camera)
        x, y, z, w = quaternion(T)
        features = []
        for row, column in ((10, 20), (30, 40)):
            ray = frame.camera.directions()[row * CAMERA.width + column].astype(float)
            seen = ray / ray[2] * frame.depth[row, column]
            point = frame.T_world_camera[:3, :3] @ seen + frame.T_world_camera[:3, 3]
            points.append(f'{len(points) + 1} {point[0]} {point[1]} {point[2]} 9 9 9 0.5 '
                          f'{index + 1} {len(features)}\n')
            features.append(f'{column + 0.5} {row + 0.5} {len(points)}')
        images += [f'{index + 1} {w} {x} {y} {z} {T[0, 3]} {T[1, 3]} {T[2, 3]} 1 {name}\n',
                   f"{' '.join(features)} 3.0 4.0 -1\n"]
    (model / 'images.txt').write_text(''.join(images))
    (model / 'points3D.txt').write_text(''.join(points))


def write_colmap_binary(folder, frames):
    """Write a COLMAP model as pycolmap writes it."""
    import pycolmap
    write_colmap_text(folder, frames)
    model = folder / 'sparse' / '0'
    reconstruction = pycolmap.Reconstruction()
    reconstruction.read_text(str(model))
    for path in model.iterdir():
        path.unlink()
    reconstruction.write_binary(str(model))


def write_llff(folder, frames):
    """Write poses_bounds.npy: axes down, right, backward; twice the size of the images."""
    write_images(folder / 'images', frames)
    rows = []
    for frame in frames:
        pose = frame.T_world_camera
        axes = np.stack([pose[:3, 1], pose[:3, 0], -pose[:3, 2], pose[:3, 3]], axis=1)
        size = np.array([2 * CAMERA.height, 2 * CAMERA.width, 2 * CAMERA.fx])
        rows.append([*np.column_stack([axes, size]).ravel(), frame.depth.min(), frame.depth.max()])
    np.save(folder / 'poses_bounds.npy', np.array(rows))


def write_polycam(folder, frames):
    """Write Polycam's raw data: ARKit's world, y up."""
    write_images(folder / 'keyframes' / 'images', frames)
    (folder / 'keyframes' / 'cameras').mkdir()
    for index, frame in enumerate(frames):
        T = arkit(frame.T_world_camera)
        values = {f't_{row}{column}': T[row, column] for row in range(3) for column in range(4)}
        (folder / 'keyframes' / 'cameras' / f'{index:03d}.json').write_text(json.dumps({
            **values, 'fx': CAMERA.fx, 'fy': CAMERA.fy, 'cx': CAMERA.cx + 0.5,
            'cy': CAMERA.cy + 0.5, 'width': CAMERA.width, 'height': CAMERA.height}))


def write_record3d(folder, frames):
    """Write an export of Record3D: quaternions and positions in ARKit's world."""
    for index, frame in enumerate(frames):
        write_image(folder / 'rgb' / f'{index}.png', frame.image)
    matrices = [arkit(frame.T_world_camera) for frame in frames]
    (folder / 'metadata.json').write_text(json.dumps({
        'K': [CAMERA.fx, 0, 0, 0, CAMERA.fy, 0, CAMERA.cx + 0.5, CAMERA.cy + 0.5, 1],
        'w': CAMERA.width, 'h': CAMERA.height,
        'poses': [[*quaternion(T), *T[:3, 3]] for T in matrices]}))


def write_bag(folder, frames):
    """Write a rosbag2 with images, depth, camera_info and TF of a robot, one frame a second."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore
    store = get_typestore(Stores.ROS2_HUMBLE)
    types = store.types
    time, header = types['builtin_interfaces/msg/Time'], types['std_msgs/msg/Header']

    def head(stamp, frame):
        return header(time(stamp // 10**9, stamp % 10**9), frame)

    def transform(parent, child, stamp, T):
        x, y, z, w = quaternion(T)
        return types['geometry_msgs/msg/TransformStamped'](
            head(stamp, parent), child, types['geometry_msgs/msg/Transform'](
                types['geometry_msgs/msg/Vector3'](*T[:3, 3]),
                types['geometry_msgs/msg/Quaternion'](x, y, z, w)))

    mount = np.eye(4)
    mount[:3, :3], mount[:3, 3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (0.1, 0.0, 0.8)
    pixels = CAMERA.width * CAMERA.height
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {
            name: writer.add_connection(name, kind, typestore=store) for name, kind in (
                ('/tf', 'tf2_msgs/msg/TFMessage'), ('/tf_static', 'tf2_msgs/msg/TFMessage'),
                ('/color/image_raw', 'sensor_msgs/msg/Image'),
                ('/color/camera_info', 'sensor_msgs/msg/CameraInfo'),
                ('/depth/image_raw', 'sensor_msgs/msg/Image'))}

        def write(topic, stamp, message):
            connection = topics[topic]
            writer.write(connection, stamp, store.serialize_cdr(message, connection.msgtype))

        tf = types['tf2_msgs/msg/TFMessage']
        write('/tf_static', STAMP, tf([transform('base', 'camera', STAMP, mount)]))
        for index, frame in enumerate(frames):
            stamp = STAMP + index * 10**9
            # TF comes between the images, so that it must be interpolated: here, it is constant.
            for moment in (stamp - 10**8, stamp + 10**8):
                write('/tf', stamp, tf([transform(
                    'map', 'base', moment, frame.T_world_camera @ np.linalg.inv(mount))]))
            write('/color/camera_info', stamp, types['sensor_msgs/msg/CameraInfo'](
                head(stamp, 'camera'), CAMERA.height, CAMERA.width, 'plumb_bob', np.zeros(5),
                CAMERA.matrix().ravel(), np.eye(3).ravel(), np.zeros(12), 0, 0,
                types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)))
            image = types['sensor_msgs/msg/Image']
            write('/color/image_raw', stamp, image(
                head(stamp, 'camera'), CAMERA.height, CAMERA.width, 'bgr8', 0, 3 * CAMERA.width,
                np.ascontiguousarray(frame.image[..., ::-1]).ravel()))
            write('/depth/image_raw', stamp, image(
                head(stamp + 10**6, 'camera'), CAMERA.height, CAMERA.width, '16UC1', 0,
                2 * CAMERA.width,
                (frame.depth * 1000 + 0.5).astype('<u2').view(np.uint8).reshape(2 * pixels)))


def arkit(T_world_camera):
    """Return the pose of an OpenGL camera in a world with y up."""
    T_arkit_world = np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    return T_arkit_world @ T_world_camera @ OPENGL


def quaternion(T):
    """Return x, y, z, w of a pose."""
    from scipy.spatial.transform import Rotation
    return Rotation.from_matrix(T[:3, :3]).as_quat().tolist()
