"""A mapper_node, and a camera that drives through the simulated flat, over DDS."""
import os
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
START = 200.0  # s, at most until the engine runs
ANSWER = 600.0  # s, at most until a service answers, on a busy machine
# Of the views: all are new, although the way is the same again and again.
SIDEWAYS, YAW = 0.08, 0.15  # m and rad, standard deviations
TOPICS = [('image', 'camera/color/image_raw'), ('camera_info', 'camera/color/camera_info'),
          ('depth', 'camera/depth/image_raw')]


class DrivenMapper:
    """A context in which both run; its thread must call drive() or wait() to see anything.

    Time is simulated, so that it can jump.
    """

    def __init__(self, folder, width, **parameters):
        os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
        os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        os.environ.setdefault('AMENT_PREFIX_PATH', sys.prefix)
        os.environ.setdefault(
            'FASTDDS_DEFAULT_PROFILES_FILE', str(ROOT / 'config' / 'fastdds.xml'))
        sys.path.append(str(ROOT / 'examples'))
        import rclpy
        from children import Children
        from diagnostic_msgs.msg import DiagnosticArray
        from rosgraph_msgs.msg import Clock

        from instant_nerf_ros.nerf.camera import T_BODY_OPTICAL, Camera
        from instant_nerf_ros.ros.playback.playback_node import OPTICAL_FRAME, CameraPublishers
        from instant_nerf_ros.simulation.flat import Flat
        from instant_nerf_ros.simulation.tour import T_BASE_LINK, Tour
        rclpy.init()
        self.node = rclpy.create_node('driver')
        self.camera = Camera(
            width, width * 3 // 4, 0.72 * width, 0.72 * width, (width - 1) / 2,
            (width * 3 // 4 - 1) / 2)
        self.tour, self.flat = Tour(), Flat()
        self.status, self.messages, self.offered = {}, [], 0
        self.node.create_subscription(DiagnosticArray, '/diagnostics', self._keep, 10)
        self._publishers = CameraPublishers(self.node, '16UC1', 'reliable')
        self._publishers.publish_static([
            (np.eye(4), 'map', 'odom'), (T_BASE_LINK, 'base_link', 'camera_link'),
            (T_BODY_OPTICAL, 'camera_link', OPTICAL_FRAME)])
        self._clock = self.node.create_publisher(Clock, '/clock', 10)
        self._random, self._begin, self._ahead = np.random.default_rng(0), time.monotonic(), 1000.0
        self._children = Children(folder)
        self._children.start(
            'mapper_node', {'use_sim_time': True, 'render_rate': 0.0, **parameters}, TOPICS)

    def __enter__(self):
        """Wait until the engine runs; return itself."""
        self.wait(lambda: self.status.get('backend'), START)
        return self

    def __exit__(self, *_):
        """End both."""
        import rclpy
        self._children.end()
        self.node.destroy_node()
        rclpy.shutdown()

    def jump(self, seconds):
        """Let the clock jump, back if negative."""
        self._ahead += seconds

    def drive(self, times, seconds, rate, with_tf=True):
        """Publish images at a rate [Hz] for some seconds, on the way at times [s] of the tour.

        times(fraction) is the time at a fraction of these seconds, from 0 to 1.
        """
        begin, number = time.monotonic(), 0
        while (due := number / rate) < seconds:
            self._spin(begin + due - time.monotonic())
            T_world_base = self.tour.T_world_base(times(due / seconds)) @ self._aside()
            stamp = self._tick()
            if with_tf:
                self._publishers.publish_transform(stamp, T_world_base, 'odom', 'base_link')
            self._publishers.publish(stamp, *self.view(T_world_base))
            number += 1
        self.offered += number

    def view(self, T_world_base):
        """Return image, camera and depth from a pose (4, 4) of the base."""
        from instant_nerf_ros.simulation.tour import T_BASE_CAMERA
        image, depth = self.flat.render(self.camera, T_world_base @ T_BASE_CAMERA)
        return image, self.camera, depth

    def wait(self, condition, timeout):
        """Keep the clock running until a condition holds; return whether it does in time [s]."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                return False
            if not self._children.running('mapper_node'):  # raises with its log if it failed
                return False
            self._tick()
            self._spin(0.1)
        return True

    def call(self, kind, name, drive=None, **fields):
        """Return the response of a service of the mapper, and drive meanwhile, if drive() does."""
        client = self.node.create_client(kind, f'/instant_nerf/{name}')
        client.wait_for_service(ANSWER)
        future = client.call_async(kind.Request(**fields))
        while drive and not future.done():
            drive()
        self.wait(future.done, ANSWER)
        self.node.destroy_client(client)
        return future.result()

    def counters(self):
        """Return memory [MiB], threads, open files, and all shared memory [MiB]."""
        process = Path(f'/proc/{self._children.pid("mapper_node")}')
        fields = dict(line.split(':', 1) for line in
                      (process / 'status').read_text().splitlines() if ':' in line)
        shared = sum(path.stat().st_blocks * 512 for path in Path('/dev/shm').iterdir())
        return (int(fields['VmRSS'].split()[0]) / 1024, int(fields['Threads']),
                len(list((process / 'fd').iterdir())), shared / 2**20)

    def _keep(self, array):
        self.status = {pair.key: pair.value for pair in array.status[0].values}
        self.messages.append(array.status[0].message)

    def _aside(self):
        angle, move = YAW * self._random.normal(), np.eye(4)
        move[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        move[1, 3] = SIDEWAYS * self._random.normal()
        return move

    def _tick(self):
        from rosgraph_msgs.msg import Clock

        from instant_nerf_ros.ros.conversions import time_message
        stamp = round((time.monotonic() - self._begin + self._ahead) * 1e9)
        self._clock.publish(Clock(clock=time_message(stamp)))
        return stamp

    def _spin(self, seconds):
        import rclpy
        end = time.monotonic() + seconds
        rclpy.spin_once(self.node, timeout_sec=max(seconds, 0.0))
        while (left := end - time.monotonic()) > 0:
            rclpy.spin_once(self.node, timeout_sec=left)
