"""Depth network: ONNX files, written here, that are used, or refused with a sentence."""
import sys

import numpy as np
import pytest
from test_estimated_depth import mapped

from instant_nerf_ros.nerf.estimated_depth.depth_network import IMAGENET, DepthNetwork
from instant_nerf_ros.nerf.estimated_depth.depth_prior import DepthPrior

onnx = pytest.importorskip('onnx')
runtime = pytest.importorskip('onnxruntime')
FLOAT, INT64, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.UINT8
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def node(kind, inputs, output, **attributes):
    return onnx.helper.make_node(kind, inputs, [output], **attributes)


def write(path, nodes, outputs, shape=(1, 3, 28, 42), kind=FLOAT, constants=(), others=()):
    """Write an ONNX file with the input 'image', and outputs {name: shape}."""
    graph = onnx.helper.make_graph(
        nodes, 'depth', [
            onnx.helper.make_tensor_value_info('image', kind, shape), *(
                onnx.helper.make_tensor_value_info(name, type_, []) for name, type_ in others)],
        [onnx.helper.make_tensor_value_info(name, FLOAT, shape)
         for name, shape in outputs.items()],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)])
    model.ir_version = 9
    onnx.save(model, str(path))
    return str(path)


def red(output='depth', keepdims=1):
    """Return the nodes and constants of a network whose depth is the red channel."""
    return ([node('Gather', ['image', 'zero'], 'first', axis=1),
             node('Squeeze', ['first', 'axis'], output) if not keepdims
             else node('Identity', ['first'], output)],
            [('zero', np.array([0])), ('axis', np.array([1]))])


def red_network(path, outputs=None, **options):
    nodes, constants = red()
    return write(path, nodes, outputs or {'depth': (1, 1, 28, 42)}, constants=constants, **options)


@pytest.fixture
def file(tmp_path):
    return tmp_path / 'network.onnx'


def test_an_image_is_scaled_and_normalized(file):
    flat = np.full((48, 64, 3), (200, 100, 50), np.uint8)
    values = DepthNetwork(red_network(file), 'unit', flat)(flat)
    assert values.shape == (28, 42)
    np.testing.assert_allclose(values, 200 / 255, rtol=1e-6)
    values = DepthNetwork(red_network(file), 'imagenet', flat)(flat)
    np.testing.assert_allclose(values, (200 / 255 - IMAGENET[0][0]) / IMAGENET[1][0], rtol=1e-5)


def test_an_input_of_any_size_has_sides_that_are_multiples_of_a_patch(file):
    path = red_network(file, {'depth': (1, 1, 'h', 'w')}, shape=(1, 3, 'h', 'w'))
    assert DepthNetwork(path, 'unit', IMAGE)(IMAGE).shape == (392, 518)


def test_bytes_are_not_normalized(file):
    nodes, constants = red('raw')
    path = write(file, [*nodes, node('Cast', ['raw'], 'depth', to=FLOAT)],
                 {'depth': (1, 1, 28, 42)}, kind=UINT8, constants=constants)
    flat = np.full((48, 64, 3), 7, np.uint8)
    np.testing.assert_allclose(DepthNetwork(path, 'auto', flat)(flat), 7)


def test_z_of_points_is_taken_before_normals_and_masks(file):
    # As MoGe: a second input, and several outputs; the points are the image, so z is blue.
    nodes = [node('Cast', ['num_tokens'], 'tokens', to=FLOAT),
             node('Mul', ['tokens', 'none'], 'nothing'), node('Add', ['image', 'nothing'], 'same'),
             node('Transpose', ['same'], 'last', perm=(0, 2, 3, 1)),
             node('Neg', ['last'], 'normal'), node('Identity', ['last'], 'points')]
    path = write(file, nodes, {'normal': (1, 28, 42, 3), 'points': (1, 28, 42, 3)},
                 constants=[('none', np.float32(0))], others=[('num_tokens', INT64)])
    flat = np.full((48, 64, 3), (10, 20, 51), np.uint8)
    np.testing.assert_allclose(DepthNetwork(path, 'auto', flat)(flat), 0.2, rtol=1e-6)


def test_a_file_that_is_none_is_named(file):
    file.write_bytes(b'no ONNX')
    with pytest.raises(ValueError, match=r'network.onnx cannot be loaded as an ONNX file'):
        DepthNetwork(str(file), 'auto', IMAGE)
    with pytest.raises(ValueError, match='cannot be loaded'):
        DepthNetwork(str(file.with_name('missing.onnx')), 'auto', IMAGE)


@pytest.mark.parametrize('options', [
    {'shape': (1, 4, 28, 42)}, {'shape': (1, 100)}, {'others': [('focal', FLOAT)]}])
def test_other_inputs_are_listed(file, options):
    shape = options.get('shape', (1, 3, 28, 42))
    path = write(file, [node('Identity', ['image'], 'depth')], {'depth': shape}, **options)
    with pytest.raises(ValueError, match=r"must have one input \(1, 3, H, W\).*'image'"):
        DepthNetwork(path, 'auto', IMAGE)


def test_a_network_without_depth_is_refused(file):
    path = write(file, [node('Identity', ['image'], 'normal')], {'normal': (1, 3, 28, 42)})
    with pytest.raises(ValueError, match='no output of depth or points'):
        DepthNetwork(path, 'auto', IMAGE)
    path = write(file, [node('Identity', ['image'], 'color')], {'color': (1, 3, 28, 42)})
    with pytest.raises(ValueError, match='is no image of depth'):
        DepthNetwork(path, 'auto', IMAGE)


def test_values_that_are_not_finite_are_refused(file):
    nodes, constants = red('channel')
    nodes += [node('Neg', ['channel'], 'minus'), node('Log', ['minus'], 'depth')]
    path = write(file, nodes, {'depth': (1, 1, 28, 42)}, constants=constants)
    with pytest.raises(ValueError, match='100 % of what .* is not finite'):
        DepthNetwork(path, 'unit', np.full((48, 64, 3), 9, np.uint8))


def test_without_onnxruntime_it_says_what_to_install(file, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ValueError, match='pip install onnxruntime'):
        DepthNetwork(red_network(file), 'auto', IMAGE)


class Session:
    """A session of a provider that says something else than the CPU, or fails, or is right."""

    def __init__(self, path, providers):
        self.provider, self.session = providers[0], runtime.InferenceSession(
            path, providers=['CPUExecutionProvider'])

    def get_providers(self):
        """Return the provider that was asked for."""
        return [self.provider]

    def get_inputs(self):
        """Return those of the file."""
        return self.session.get_inputs()

    def get_outputs(self):
        """Return those of the file."""
        return self.session.get_outputs()

    def run(self, *arguments):
        """Run on the CPU; TensorRT returns twice that."""
        [result] = self.session.run(*arguments)
        return [{'TensorrtExecutionProvider': 2 * result}.get(self.provider, result)]


def test_a_provider_is_used_only_if_it_says_what_the_cpu_says(file, monkeypatch):
    class Runtime:
        InferenceSession = Session

        @staticmethod
        def get_available_providers():
            return ['TensorrtExecutionProvider', 'CUDAExecutionProvider', 'CPUExecutionProvider']

    monkeypatch.setitem(sys.modules, 'onnxruntime', Runtime)
    assert DepthNetwork(red_network(file), 'unit', IMAGE).provider == 'CUDAExecutionProvider'


def test_a_mapper_uses_the_network(file):
    settings = {'depth_prior.model': red_network(file), 'depth_prior.share': 1.0}
    # Its texture is no depth, so that it is refused: it ran, and stereo voted as without it.
    mapper = mapped(None, **settings)
    assert sum(mapper.measurements.depth_prior.fitter.refusals.values()) == 4


@pytest.mark.parametrize('content', [b'', b'no ONNX'])
def test_mapping_goes_on_without_a_network_that_fails(file, caplog, content):
    file.write_bytes(content)
    mapper = mapped(None, **{'depth_prior.model': str(file)})
    [sentence] = [record.message for record in caplog.records
                  if 'depth_prior.model' in record.message]
    assert 'cannot be loaded' in sentence and 'mapping goes on without' in sentence
    assert mapper.keyframe_count == 16
    assert mapper.measurements.motion.estimates


def test_it_takes_at_most_its_share_of_the_time(file, monkeypatch):
    times = iter(np.arange(0.0, 1000.0, 1.0))  # a second passes between any two looks at the clock
    mapper = mapped(None)
    config = mapper.config.depth_prior.__class__(red_network(file), 'unit', 0.1)
    prior = DepthPrior(config, mapper.measurements.motion, lambda: next(times))
    runs = []
    monkeypatch.setattr(DepthNetwork, '__call__', lambda self, image: (
        runs.append(image), np.ones((28, 42), np.float32))[1])
    for estimate in list(mapper.measurements.motion.estimates.values()) * 10:
        prior.update(estimate, mapper.keyframes)
    # 40 images in some 50 s, of which a tenth is 5 s: a second each, and the first one twice.
    assert 3 <= len(runs) <= 7
