"""The parameters of the mapper while it runs: which may change when, and what then."""
import dataclasses

from rcl_interfaces.msg import SetParametersResult

from instant_nerf_ros.nerf import Config, flatten, replace
from instant_nerf_ros.ros.params.node_config import PER_CAMERA, NodeConfig
from instant_nerf_ros.ros.params.declaration import declare, misspelt, take_overrides


class Settings:
    """The node's settings (node), the engine's (engine) and those of its cameras (cameras).

    Some may be changed at any time, the others only while the node is not configured.
    """

    def __init__(self, node):
        """Declare all parameters; raises ValueError for a wrong one."""
        overrides = take_overrides(node)
        self.node = declare(node, NodeConfig(), overrides, read_only=False)
        self.engine = declare(node, Config(), overrides, read_only=False)
        self.cameras = {  # name: NodeConfig
            name: declare(
                node, self.node, overrides, f'{name}.', PER_CAMERA, read_only=False)
            if name else self.node for name in self.node.cameras}
        self.configured = False  # while True, only live settings may change
        self._on_change = None
        for sentence in misspelt(node, overrides):
            node.get_logger().warning(sentence)
        node.add_on_set_parameters_callback(self._set)

    def on_change(self, function):
        """Call function() after a live setting has changed; None to stop that."""
        self._on_change = function

    def _set(self, parameters):
        values = {parameter.name: parameter.value for parameter in parameters}
        try:
            self._take(values)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take(self, values):
        """Take over {name: value} as a whole; ValueError, and nothing has changed, if it fails."""
        configs = {'': self.node, **{f'{name}.': c for name, c in self.cameras.items() if name}}
        configs = {prefix: self._changed(c, values, prefix) for prefix, c in configs.items()}
        engine = self._changed(self.engine, values, '')
        self.node, self.engine = configs[''], engine
        # What is no camera's own is that of the node.
        self.cameras = {
            name: dataclasses.replace(self.node, **{
                field: getattr(configs[f'{name}.'], field) for field in PER_CAMERA})
            if name else self.node for name in self.cameras}
        if self._on_change:
            self._on_change()

    def _changed(self, config, values, prefix):
        mine = {}
        for name, field, _ in flatten(config):
            if prefix + name not in values or (prefix and name not in PER_CAMERA):
                continue
            if self.configured and field.metadata['change'] != 'live':
                raise ValueError(
                    f"'{prefix}{name}' cannot change while the node is configured: clean it up "
                    'first (ros2 lifecycle set <node> deactivate, then cleanup), or restart it')
            mine[name] = values[prefix + name]
        return replace(config, mine)
