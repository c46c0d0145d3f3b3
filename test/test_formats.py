"""Formats: each input is read, reported or refused as docs/reference/formats.md says."""
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('rosbags', reason='needs rosbags')

from format_cases import READ, observe, page
from write_formats import PAGE, SECTIONS

pytestmark = pytest.mark.ros


@pytest.mark.parametrize('case', [
    pytest.param(case, id=f'{section.title}: {case.what}')
    for section in SECTIONS for case in section.cases])
def test_each_input_is_read_or_refused_as_the_documentation_says(case, tmp_path):
    outcome, told = observe(case, tmp_path)
    assert outcome == case.outcome, told
    assert outcome == READ or case.text in told, told


def test_the_documentation_is_made_of_these_cases():
    assert PAGE.read_text() == page(SECTIONS), 'run test/write_formats.py'
