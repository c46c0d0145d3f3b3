"""The nodes that a launch file would start, found without starting them."""
import os
from pathlib import Path

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

ROOT = Path(__file__).parents[1]


def launched_nodes(monkeypatch, file, **arguments):
    """Return [(name with namespace, {launch configuration: value})] of the nodes of a file."""
    status, nodes = launched(monkeypatch, file, **arguments)
    assert status == 0
    return nodes


def launched(monkeypatch, file, **arguments):
    """Return the exit status of a launch file, and its nodes as launched_nodes() does."""
    nodes = []

    def execute(self, context):
        self._perform_substitutions(context)
        name = self.node_name.replace(self.UNSPECIFIED_NODE_NAMESPACE, '')
        nodes.append((name, dict(context.launch_configurations)))

    monkeypatch.setattr(Node, 'execute', execute)
    description = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(ROOT / 'launch' / file)),
        launch_arguments=arguments.items())
    service = LaunchService(noninteractive=True)
    service.include_launch_description(LaunchDescription([description]))
    return service.run(), nodes


def install(monkeypatch, folder, package, files):
    """Make a package with {path in its share folder: text} known to ament."""
    index = folder / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True, exist_ok=True)
    (index / package).touch()
    for name, text in files.items():
        path = folder / 'share' / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv(
        'AMENT_PREFIX_PATH', f"{folder}{os.pathsep}{os.environ['AMENT_PREFIX_PATH']}")
