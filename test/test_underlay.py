"""The interfaces of underlay/ are those of ROS: the same fields of the same types."""
import pytest

pytestmark = pytest.mark.ros


def test_tf_message_is_that_of_ros():
    from tf2_msgs.msg import TFMessage
    assert TFMessage.get_fields_and_field_types() == {
        'transforms': 'sequence<geometry_msgs/TransformStamped>'}


def test_occupancy_grid_update_is_that_of_ros():
    from map_msgs.msg import OccupancyGridUpdate
    assert OccupancyGridUpdate.get_fields_and_field_types() == {
        'header': 'std_msgs/Header', 'x': 'int32', 'y': 'int32', 'width': 'uint32',
        'height': 'uint32', 'data': 'sequence<int8>'}


def test_octomap_is_that_of_ros():
    octomap = pytest.importorskip('octomap_msgs.msg')
    assert octomap.Octomap.get_fields_and_field_types() == {
        'header': 'std_msgs/Header', 'binary': 'boolean', 'id': 'string', 'resolution': 'double',
        'data': 'sequence<int8>'}


@pytest.mark.parametrize(('package', 'name'), [
    ('tf2_msgs', 'TFMessage'), ('map_msgs', 'OccupancyGridUpdate')])
def test_messages_survive_serialization(package, name):
    from rclpy.serialization import deserialize_message, serialize_message
    kind = getattr(pytest.importorskip(f'{package}.msg'), name)
    message = kind()
    if name == 'TFMessage':
        from geometry_msgs.msg import TransformStamped
        stamped = TransformStamped(child_frame_id='camera')
        stamped.transform.translation.x = -1.25
        message.transforms = [stamped]
    else:
        message.x, message.width, message.height = -3, 3, 1
        message.data = [-1, 0, 100]
    assert deserialize_message(serialize_message(message), kind) == message
