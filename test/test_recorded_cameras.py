"""Of several image topics of a recording, the camera is chosen by what they contain."""
import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('rosbags', reason='needs rosbags')

from recordings import CAMERA, COLOR, INFO, START, drive, write_bag
from sensor_msgs.msg import CameraInfo, CompressedImage

from instant_nerf_ros.data.bags import open_recording
from instant_nerf_ros.data.cameras import find_camera
from instant_nerf_ros.nerf.camera import Camera
from instant_nerf_ros.ros.conversions import camera_info_message, header_message, jpeg_message

pytestmark = pytest.mark.ros

EXAMPLES = Path(__file__).parents[1] / 'examples'
ALIGNED = '/camera/aligned_depth_to_color/image_raw'


def camera_of(path, messages):
    """Return the RecordedCamera of a recording of some messages."""
    with open_recording(write_bag(path / 'bag', messages)) as recording:
        return find_camera(recording)


@pytest.mark.parametrize('others', [
    [('/a/image', 'rgb8', 'other')],  # without a CameraInfo beside it
    [('/a/infra', 'mono8', 'cam')],
    [('/a/labels', '8UC1', 'cam')],
    [('/a/range', '32FC1', 'cam')],
    [('/a/range', '16UC1', 'cam'), ('/camera/color/a_mask', 'mono8', 'cam')],
    [('/camera/color/a_depth', 'mono16', 'cam')],
])
def test_the_color_camera_is_not_the_first_of_the_alphabet(tmp_path, others):
    camera = camera_of(tmp_path, drive(images=[*others, (COLOR, 'rgb8', 'cam')]))
    assert (camera.image, camera.camera_info) == (COLOR, INFO)
    assert (camera.image_transport, camera.depth_transport) == ('raw', 'raw')
    assert COLOR in camera.reason and INFO in camera.reason


def test_a_gray_camera_is_used_where_there_is_no_other(tmp_path):
    camera = camera_of(tmp_path, drive(
        infos=[('/left/camera_info', 'l'), ('/right/camera_info', 'r')],
        images=[('/right/image', 'mono8', 'r', 3), ('/left/image', 'mono8', 'l'),
                ('/depth/image', '16UC1', 'l')]))
    assert (camera.image, camera.camera_info) == ('/left/image', '/left/camera_info')
    assert '/right/image (mono8, 3)' in camera.reason


def test_of_equal_cameras_the_one_with_more_images_is_chosen(tmp_path):
    camera = camera_of(tmp_path, drive(
        infos=[('/back/camera_info', 'b'), ('/front/camera_info', 'f')],
        images=[('/back/image', 'rgb8', 'b', 2), ('/front/image', 'rgb8', 'f')]))
    assert (camera.image, camera.camera_info) == ('/front/image', '/front/camera_info')


@pytest.mark.parametrize('info', [
    CameraInfo(width=CAMERA.width, height=CAMERA.height),  # not calibrated
    camera_info_message(Camera(64, 48, 60.0, 60.0, 31.5, 23.5), START, 'a')])
def test_a_camera_info_that_cannot_be_used_does_not_count(tmp_path, info):
    info.header = header_message(START, 'a')
    messages = drive(images=[('/a/image', 'rgb8', 'a'), (COLOR, 'rgb8', 'cam', 2)])
    camera = camera_of(tmp_path, [*messages, ('/a/camera_info', START, info)])
    assert (camera.image, camera.camera_info) == (COLOR, INFO)


def test_a_topic_without_a_message_is_not_chosen(tmp_path):
    messages = drive(images=[('/camera/a', 'rgb8', 'cam', 0), (COLOR, 'rgb8', 'cam')])
    assert camera_of(tmp_path, messages).image == COLOR


def test_depth_is_that_of_the_frame_of_the_color_image(tmp_path):
    camera = camera_of(tmp_path, drive(
        infos=[(INFO, 'cam'), ('/camera/depth/camera_info', 'depth'),
               ('/camera/aligned_depth_to_color/camera_info', 'cam')],
        images=[('/camera/depth/image_raw', '16UC1', 'depth'), (ALIGNED, '16UC1', 'cam'),
                ('/camera/labels', '16UC1', 'other'), (COLOR, 'rgb8', 'cam')]))
    assert (camera.image, camera.camera_info, camera.depth) == (COLOR, INFO, ALIGNED)
    assert camera.depth_camera_info == '/camera/aligned_depth_to_color/camera_info'


def test_depth_of_its_own_camera_has_its_own_camera_info(tmp_path):
    camera = camera_of(tmp_path, drive(
        infos=[(INFO, 'cam'), ('/camera/depth/camera_info', 'depth')],
        images=[('/camera/depth/image_raw', '16UC1', 'depth'), (COLOR, 'rgb8', 'cam')]))
    assert camera.depth == '/camera/depth/image_raw'
    assert camera.depth_camera_info == '/camera/depth/camera_info'


def compressed(topic, count=3):
    """Return messages of compressed images and of compressed depth."""
    image = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)
    for number in range(count):
        stamp = START + number * 200_000_000
        yield f'{topic}/compressed', stamp, jpeg_message(image, 80, stamp, 'cam')
        yield '/camera/depth/compressedDepth', stamp, CompressedImage(
            header=header_message(stamp, 'cam'), format='16UC1; compressedDepth png')


def test_compressed_images_are_chosen_by_the_topic_below_which_they_lie(tmp_path):
    camera = camera_of(tmp_path, [*drive(images=()), *compressed(COLOR)])
    assert (camera.image, camera.image_transport) == (COLOR, 'compressed')
    assert (camera.depth, camera.depth_transport) == ('/camera/depth', 'compressedDepth')
    raw = camera_of(tmp_path / 'raw', [*drive(), *compressed(COLOR)])
    assert (raw.image, raw.image_transport) == (COLOR, 'raw')


@pytest.mark.parametrize('messages', [
    drive(infos=()), drive(images=[('/depth', '16UC1', 'cam')])], ids=['no info', 'no color'])
def test_a_recording_without_a_camera_is_refused_with_what_it_has(tmp_path, messages):
    with pytest.raises(ValueError, match='needs a topic of colour images.*; it has /'):
        camera_of(tmp_path, messages)


def test_the_demo_maps_the_chosen_camera_and_prints_the_choice(tmp_path, capsys):
    open_scene = runpy.run_path(str(EXAMPLES / 'scenes.py'))['open_scene']
    path = write_bag(tmp_path / 'bag', [
        *drive(images=[('/a/image', 'rgb8', 'x')]), *compressed(COLOR),
        *drive(images=[('/camera/depth/image_raw', '32FC1', 'cam')])])
    scene = open_scene(str(path), True, 1.0, 96)
    assert scene.topics == {
        'image': COLOR, 'camera_info': INFO, 'depth': '/camera/depth/image_raw',
        'depth_camera_info': INFO}
    assert scene.mapper_parameters == {'image_transport': 'compressed', 'depth_transport': 'raw'}
    assert f'{COLOR}/compressed' in capsys.readouterr().out
