"""Advice: the diagnostics of the mapper in plain words, with what to do."""
from __future__ import annotations

from collections.abc import Mapping

STATES = {
    'starting the engine': 'starting: compiling for this machine, which takes a minute or two '
                           'after an installation',
    'mapping': 'mapping', 'paused': 'paused: no images are taken',
    'resting': 'resting: the field has converged and waits for new images',
    'unconfigured': 'not configured: activate it (`ros2 lifecycle`), or set `autostart`',
    'inactive': 'configured, but not active: activate it (`ros2 lifecycle`)',
    'finalized': 'ended'}
DROPS = {  # by the first words of a reason
    'redundant': 'normal: another image of the same place',
    'blurred': 'normal: a sharper neighbor was taken',
    'no TF': 'no pose: start the localisation, or check `map_frame`',
    'TF too late': 'poses come too late: raise `tf_timeout`, or compare the clocks',
    'TF too old': 'poses are forgotten already: raise `tf_buffer`',
    'no camera_info': 'remap `camera_info`',
    'size unlike camera_info': 'remap `camera_info`: it belongs to another stream',
    'invalid': 'correct the publisher; the log of the mapper says how',
    'out of order': 'stamps go backwards: `use_sim_time` and `--clock` to play a bag again',
    'no depth': 'no depth image at that time: raise `sync_tolerance`',
    'depth unlike image': 'align depth to color, or remap `depth_camera_info`',
    'empty depth': 'nothing measured: too near, too far, or glass',
    'engine busy': 'lower the rate or the size of the images',
    'queue full': 'lower the rate or the size of the images',
    'starting the engine': 'normal while the engine starts',
    'unknown encoding': 'needs cv_bridge',
    'unwanted view': 'normal while a viewer starts or ends',
    'unreadable': 'the messages are damaged; the log says how'}
SILENT = 3.0  # s without diagnostics, after which the mapper counts as gone
OK, WARN, ERROR = 0, 1, 2
MARKS = {OK: '✔', WARN: '▲', ERROR: '✖'}  # shapes, as colors are not for everybody
NONE = ('nan', '')


def status_text(
    level: int, message: str, values: Mapping[str, str], age: float, mapper: str,
) -> str:  # fmt: skip
    """Return in Markdown what the mapper is doing, and what needs attention.

    level, message and values are those of its latest diagnostics, age [s] is their age.
    """
    if age > SILENT:
        what = 'No news from the mapper' if values else 'Waiting for the mapper'
        return (f'**✖ {what}**\n\nIs it running? `ros2 node list` must show `{mapper}`, with this '
                'ROS_DOMAIN_ID. This page goes on by itself when it is back.')
    state = values.get('state', '')
    lines = [f'**{MARKS[min(level, ERROR)]} {STATES.get(state, state)}**']
    if level > OK:
        sentences = message.replace('; the log', ', the log').split('; ')
        lines.append('\n'.join(f'- {sentence}' for sentence in sentences))
    figures = [f'- {label}: {values[key]}{unit}' for key, label, unit in (
        ('steps per second', 'Training steps per second', ''),
        ('held-out PSNR [dB]', 'PSNR of held-out images', ' dB'),
        ('keyframes', 'Keyframes', ''), ('images with depth', 'of these with depth', ''),
        ('backend', 'Computes on', ''),
        ('memory [MB]', 'Memory', ' MB'),
    ) if values.get(key, '') not in NONE]
    return '\n\n'.join([*lines, '\n'.join(figures)])


def drops_text(values: Mapping[str, str]) -> str:
    """Return in Markdown the images and messages that were dropped, by reason, with remedies."""
    prefix = 'dropped: '
    counts = {key.removeprefix(prefix): int(value) for key, value in values.items()
              if key.startswith(prefix) and int(value)}
    if not counts:
        return 'Nothing was dropped.'
    rows = [f'| {count} | {reason} | {remedy(reason)} |'
            for reason, count in sorted(counts.items(), key=lambda item: -item[1])]
    return '\n'.join(['| | dropped | what to do |', '|--:|---|---|', *rows])


def remedy(reason: str) -> str:
    """Return what to do about messages that are dropped for a reason."""
    for words, text in DROPS.items():
        if reason.startswith(words):
            return text
    return 'the log of the mapper says which'
