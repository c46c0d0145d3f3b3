"""Engine: where the fastest backend fails, the processor takes over, and says so."""
import pytest

from instant_nerf_ros.nerf import Config, replace
from instant_nerf_ros.ros import engine


def failing(*devices):
    """Return a warm_up that fails for some devices, and the list of those it was asked for."""
    asked = []

    def warm_up(device, field):
        asked.append(device)
        if device in devices:
            raise RuntimeError('no kernel image is available')
    return warm_up, asked


def test_what_fails_by_itself_is_replaced_and_named(monkeypatch):
    warm_up, asked = failing('auto')
    monkeypatch.setattr(engine, 'warm_up', warm_up)
    complaints = []
    mapper = engine.start_engine(Config(), complaints.append)
    assert mapper.backend == 'cpu' and asked == ['auto', 'cpu']
    assert len(complaints) == 1 and 'no kernel image is available' in complaints[0]


def test_what_was_asked_for_by_name_fails_with_its_reason(monkeypatch):
    monkeypatch.setattr(engine, 'warm_up', failing('reference')[0])
    with pytest.raises(RuntimeError, match='no kernel image'):
        engine.start_engine(replace(Config(), {'device': 'reference'}), pytest.fail)


def test_what_works_is_taken_without_a_word(monkeypatch):
    monkeypatch.setattr(engine, 'warm_up', failing()[0])
    assert engine.start_engine(Config(), pytest.fail).config == Config()
