"""The process of the viewer of a node: parameters, threads and its end."""
from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from instant_nerf_ros.viewer.node_controls import NodeControls
from instant_nerf_ros.viewer.node_panel import NodePanel
from instant_nerf_ros.viewer.node_source import NodeSource
from instant_nerf_ros.viewer.page import Page

PERIOD, SLOW_PERIOD = 0.2, 1.0  # s
TOKEN = 'INSTANT_NERF_VIEWER_TOKEN'  # of the environment; a new one is made without it
LAYERS = {'field': False, 'voxels': True, 'map': True, 'keyframes': True, 'path': True,
          'robot': True, 'plan': True}


class NodeViewer:
    """Connects a NodeSource to a Page."""

    def __init__(self, node: Node) -> None:
        """Read the parameters and open the page. Raises ValueError for a wrong viewer_host."""
        def parameter(name: str, default: Any) -> Any:
            return node.declare_parameter(name, default).value
        mapper = parameter('mapper', 'instant_nerf')
        self._source = NodeSource(node, mapper)
        controls = NodeControls(
            node, mapper, lambda: self._source.map_frame) if parameter('controls', False) else None
        self._page = Page(
            self._source, parameter('viewer_host', '127.0.0.1'), parameter('viewer_port', 8080),
            LAYERS, os.environ.get(TOKEN, ''))
        self._panel = NodePanel(self._page.server, mapper, controls)
        self._panel.set_floor(lambda: self._page.stage.floor)
        self._source.put_on(self._page.stage)
        self._begin, self._point = time.monotonic(), -1.0
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # continues while a bag is paused
        node.create_timer(PERIOD, self._tick, clock=steady)
        node.create_timer(SLOW_PERIOD, self._slow_tick, clock=steady)
        self._page.start()
        node.get_logger().info(f'the viewer is at {self._page.url}')
        if controls is None:
            node.get_logger().info(
                'it only shows; with the parameter controls (viewer_controls:=true) it may pause, '
                'save, reset, and send goals')

    def stop(self) -> None:
        """Close the page."""
        self._page.stop()

    def _tick(self) -> None:
        self._source.views.subscribe(self._page.watched)
        if self._page.watched:
            self._source.show_robot()

    def _slow_tick(self) -> None:
        self._source.watch(self._page.watched)
        self._source.images.follow()
        self._page.set_overview()
        now, news = time.monotonic(), self._source.diagnostics
        self._panel.show(news.level, news.message, news.values, now - news.arrived)
        if news.arrived > self._point and news.values:
            self._point = news.arrived
            self._panel.add_point(
                now - self._begin, float(news.values.get('held-out PSNR [dB]', 'nan')),
                float(news.values.get('steps per second', '0')))


def main() -> int:
    """Run the viewer of a node; return the exit status."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('instant_nerf_viewer')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        viewer = NodeViewer(node)
    except ValueError as error:
        node.get_logger().fatal(str(error))
        return 1
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
    except ExternalShutdownException:
        pass
    viewer.stop()
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
