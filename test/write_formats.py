"""Writes docs/reference/formats.md of the cases that test_formats.py tries."""
from pathlib import Path

from format_cases import page
from formats_in_recordings import RECORDINGS
from formats_of_cameras import CALIBRATIONS, COLORS
from formats_of_ranges import DEPTHS, RANGES
from formats_of_scenes import SCENES
from formats_on_disk import FOLDERS, IMAGES

PAGE = Path(__file__).parents[1] / 'docs' / 'reference' / 'formats.md'
SECTIONS = [CALIBRATIONS, COLORS, DEPTHS, RANGES, FOLDERS, IMAGES, SCENES, RECORDINGS]

if __name__ == '__main__':
    PAGE.write_text(page(SECTIONS))
