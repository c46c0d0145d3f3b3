"""Recordings in every form in which they come: all of a mapper's messages are played."""
import re

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('rosbags', reason='needs rosbags')

from camera_listener import player
from posed_folders import write_folder
from rclpy.serialization import deserialize_message
from recordings import COLOR, COUNT, INFO, drive, type_of, write_bag, write_ros1

from instant_nerf_ros.data.bags import is_bag, open_bag, open_recording

pytestmark = [pytest.mark.ros, pytest.mark.filterwarnings('ignore:.*ros2 bag reindex')]


def bare(path, messages, storage):
    """Write a storage file alone."""
    (file,) = write_bag(path / 'bag', messages, storage).glob('bag.*')
    return file.rename(path / f'alone{file.suffix}')


def unnamed(path, messages, storage):
    """Write a rosbag2 whose metadata names no storage."""
    bag = write_bag(path / 'bag', messages, storage)
    text = (bag / 'metadata.yaml').read_text()
    changed = re.sub('storage_identifier: .*', "storage_identifier: ''", text)
    assert changed != text
    (bag / 'metadata.yaml').write_text(changed)
    return bag


def orphaned(path, messages, storage):
    """Write a rosbag2 in two files without metadata."""
    half = len(messages) // 2
    (path / 'bag').mkdir()
    for number, part in ((10, messages[half:]), (2, messages[:half])):
        (file,) = write_bag(path / f'part{number}', part, storage).glob('part*.*')
        file.rename(path / 'bag' / f'bag_{number}{file.suffix}')
    return path / 'bag'


def torn_metadata(path, messages, storage):
    bag = write_bag(path / 'bag', messages, storage)
    (bag / 'metadata.yaml').write_text('rosbag2_bagfile_information:\n  version: [')
    return bag


def complete(path, messages, storage):
    return write_bag(path / 'bag', messages, storage)


def compressed(path, messages, storage):
    return write_bag(path / 'bag', messages, storage, compress=storage == 'SQLITE3')


def ros1(path, messages, _):
    """Write a bag of ROS 1."""
    return write_ros1(path / 'drive.bag', messages)


@pytest.mark.parametrize('storage', ['MCAP', 'SQLITE3'])
@pytest.mark.parametrize(
    'write', [complete, compressed, bare, unnamed, orphaned, torn_metadata, ros1])
def test_every_message_that_a_mapper_can_use_is_played(tmp_path, write, storage):
    messages = drive()
    path = write(tmp_path, messages, storage)
    assert is_bag(path)
    expected = [entry for entry in messages if entry[0] != '/chatter']
    with open_bag(path) as (types, played):
        assert types == {topic: type_of(message) for topic, _, message in expected}
        found = [(topic, stamp, data) for stamp, topic, data in played]
    kinds = {topic: type(message) for topic, _, message in expected}
    found = [(topic, stamp, deserialize_message(data, kinds[topic]))
             for topic, stamp, data in found]
    assert [stamp for _, stamp, _ in found] == [stamp for _, stamp, _ in expected]
    def in_order(entries):
        return sorted(entries, key=lambda entry: (entry[1], entry[0]))
    assert in_order(found) == in_order(expected)


@pytest.mark.parametrize('write', [unnamed, orphaned, torn_metadata])
def test_metadata_that_cannot_be_used_is_warned_of(tmp_path, write):
    path = write(tmp_path, drive(), 'MCAP')
    with pytest.warns(UserWarning, match='metadata.yaml.*`ros2 bag reindex'), open_bag(path):
        pass


@pytest.mark.parametrize('share', [0.0, 0.001, 0.5, 0.95])
@pytest.mark.parametrize(('storage', 'repair'), [
    ('MCAP', 'mcap recover'), ('SQLITE3', 'ros2 bag reindex')])
@pytest.mark.parametrize('write', [complete, bare])
def test_a_truncated_recording_is_refused_with_what_may_restore_it(
        tmp_path, write, storage, repair, share):
    path = write(tmp_path, drive(), storage)
    (file,) = path.glob('bag.*') if path.is_dir() else [path]
    data = file.read_bytes()
    file.write_bytes(data[:round(share * len(data))])
    with pytest.raises(ValueError, match=repair) as caught, open_bag(path) as (_, messages):
        list(messages)
    assert str(file) in str(caught.value)


def test_of_several_files_the_complete_ones_are_played(tmp_path):
    messages = drive()
    path = orphaned(tmp_path, messages, 'MCAP')
    file = path / 'bag_10.mcap'
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.warns(UserWarning, match='1 of 2 files .*bag_10.mcap.*mcap recover'), (
            open_bag(path)) as (_, played):
        assert 0 < len(list(played)) < len(messages)


def test_a_damaged_bag_of_ros_1_is_called_one(tmp_path):
    path = tmp_path / 'x.bag'
    path.write_bytes(b'#ROSBAG V2.0\n' + bytes(range(256)))
    with pytest.raises(ValueError, match='x.bag cannot be read.*ROS 1 bag; `rosbag reindex'), (
            open_bag(path)):
        pass


def test_compressed_messages_without_metadata_are_refused(tmp_path):
    path = write_bag(tmp_path / 'bag', drive(), 'SQLITE3', compress=True)
    (path / 'metadata.yaml').unlink()
    with pytest.raises(ValueError, match='compressed'), open_bag(path) as (_, messages):
        list(messages)


def test_a_recording_without_an_image_is_refused(tmp_path):
    messages = [entry for entry in drive(images=()) if entry[0] != '/preview']
    path = write_bag(tmp_path / 'bag', messages)
    with pytest.raises(
            ValueError, match=r'holds no sensor_msgs/Image or \w+, but /\w+.* \([\w/]+\)'
    ), open_bag(path):
        pass


def test_a_folder_of_images_is_no_recording_whatever_else_it_contains(tmp_path):
    write_folder(tmp_path)
    (tmp_path / 'old.bag').write_bytes(b'')
    assert not is_bag(tmp_path) and not is_bag(tmp_path / 'transforms.json')
    assert not is_bag(tmp_path / 'nowhere')


def test_messages_of_chosen_topics_are_counted_and_read(tmp_path):
    path = write_bag(tmp_path / 'bag', drive())
    with open_recording(path) as recording:
        assert recording.counts[INFO] == COUNT and recording.counts['/tf_static'] == 1
        assert [topic for _, topic, _ in recording.messages([COLOR])] == [COLOR] * COUNT


@pytest.mark.parametrize('write', [complete, ros1, orphaned])
def test_replay_plays_it_and_prints_the_camera_and_the_topics_in_use(tmp_path, write):
    path = write(tmp_path, drive(), 'MCAP')
    with player('replay', path=path, rate=10.0, wait_for_subscriber=0.1) as process:
        status, output = process.wait(), process.text()
    assert status == 0 and 'Traceback' not in output, output
    assert f'{COLOR} (rgb8, 5 messages) with {INFO} is the colour camera' in output
    assert 'topics in use: none; without a subscriber: ' in output and '/scan' in output
    assert 'replay finished: 10 frames' in output  # and the previews
    assert ('ros2 bag reindex' in output) == (write is orphaned)
