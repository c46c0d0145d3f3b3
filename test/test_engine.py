"""start_engine: if the fastest backend fails, the CPU replaces it, with a warning."""
import pytest

from instant_nerf_ros.nerf import Config, replace
from instant_nerf_ros.ros import engine


def failing(*devices):
    """Return a warm_up that fails for some devices, and the list of devices it is called with."""
    devices_used = []

    def warm_up(device, field):
        devices_used.append(device)
        if device in devices:
            raise RuntimeError('no kernel image is available')
    return warm_up, devices_used


def test_a_failing_automatic_backend_is_replaced_with_a_warning(monkeypatch):
    warm_up, devices_used = failing('auto')
    monkeypatch.setattr(engine, 'warm_up', warm_up)
    warnings = []
    mapper = engine.start_engine(Config(), warnings.append)
    assert mapper.backend_name == 'cpu' and devices_used == ['auto', 'cpu']
    assert len(warnings) == 1 and 'no kernel image is available' in warnings[0]


def test_a_failing_backend_selected_by_name_raises_its_error(monkeypatch):
    monkeypatch.setattr(engine, 'warm_up', failing('reference')[0])
    with pytest.raises(RuntimeError, match='no kernel image'):
        engine.start_engine(replace(Config(), {'device': 'reference'}), pytest.fail)


def test_a_working_backend_causes_no_warning(monkeypatch):
    monkeypatch.setattr(engine, 'warm_up', failing()[0])
    assert engine.start_engine(Config(), pytest.fail).config == Config()
