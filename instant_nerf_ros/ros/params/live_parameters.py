"""The parameters of the mapper node while it runs: which may change, and when."""
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from instant_nerf_ros.nerf import Config, flatten, replace
from instant_nerf_ros.ros.params.declaration import declare, misspelt, take_overrides
from instant_nerf_ros.ros.params.node_config import PER_CAMERA, NodeConfig

AnyConfig = TypeVar('AnyConfig', Config, NodeConfig)


class LiveParameters:
    """The current settings of the node, of the mapping engine, and of each camera.

    Settings marked 'live' may change at any time, the others only while the node is not
    configured. The dataclasses are replaced as a whole, so any thread may read them.
    """

    node: NodeConfig
    engine: Config  # of the Mapper
    cameras: dict[str, NodeConfig]  # by the name of the camera

    def __init__(self, node: Node) -> None:
        """Declare all parameters on a node. Raises ValueError for a wrong type or value."""
        overrides = take_overrides(node)
        self.node = declare(node, NodeConfig(), overrides, read_only=False)
        self.engine = declare(node, Config(), overrides, read_only=False)
        self.cameras = {
            name: declare(
                node, self.node, overrides, f'{name}.', PER_CAMERA, read_only=False)
            if name else self.node for name in self.node.cameras}
        self._configured = False
        self._on_change: Callable[[], None] | None = None
        for sentence in misspelt(node, overrides):
            node.get_logger().warning(sentence)
        node.add_on_set_parameters_callback(self._set)

    def set_configured(self, configured: bool) -> None:
        """Set whether the node is configured; then only settings marked 'live' may change."""
        self._configured = configured

    def on_change(self, callback: Callable[[], None] | None) -> None:
        """Call callback() after each change of a setting; None removes the callback."""
        self._on_change = callback

    def _set(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        values = {parameter.name: parameter.value for parameter in parameters}
        try:
            self._apply(values)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, values: Mapping[str, Any]) -> None:
        """Apply {name: value} as a whole. Raises ValueError; nothing has changed then."""
        configs = {'': self.node, **{f'{name}.': c for name, c in self.cameras.items() if name}}
        configs = {prefix: self._updated(c, values, prefix) for prefix, c in configs.items()}
        engine = self._updated(self.engine, values, '')
        self.node, self.engine = configs[''], engine
        # A setting that is not per camera has the value of the node for all of them.
        self.cameras = {
            name: dataclasses.replace(self.node, **{
                field: getattr(configs[f'{name}.'], field) for field in PER_CAMERA})
            if name else self.node for name in self.cameras}
        if self._on_change:
            self._on_change()

    def _updated(self, config: AnyConfig, values: Mapping[str, Any], prefix: str) -> AnyConfig:
        changes = {}
        for name, field, _ in flatten(config):
            if prefix + name not in values or (prefix and name not in PER_CAMERA):
                continue
            if self._configured and field.metadata['change'] != 'live':
                raise ValueError(
                    f"'{prefix}{name}' cannot change while the node is configured: clean it up "
                    'first (ros2 lifecycle set <node> deactivate, then cleanup), or restart it')
            changes[name] = values[prefix + name]
        return replace(config, changes)
