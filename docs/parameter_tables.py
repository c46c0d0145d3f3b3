"""The tables of parameters.md, made from the dataclasses."""
import math

from instant_nerf_ros.nerf import Config, flatten
from instant_nerf_ros.ros.params.node_config import PER_CAMERA, NodeConfig

CHANGES = {'live': 'live', 'configure': 'before configure', 'start': 'at the start'}


def default(value):
    """Return a value as YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(list(value) if isinstance(value, tuple) else value)


def admitted(metadata):
    """Return the values that a setting admits."""
    if metadata['choices']:
        return ', '.join(f'`{choice}`' for choice in metadata['choices'])
    low, high = metadata['low'], metadata['high']
    return f'{low} to {high}' if math.isfinite(low) and math.isfinite(high) else ''


def row(name, field, value):
    """Return the line of a setting."""
    text, _, unit = field.metadata['description'].partition(' [')
    cells = (f"`{name}`{' ◦' if name in PER_CAMERA else ''}",
             f"`{default(value)}` {unit.rstrip(']')}".strip(), admitted(field.metadata), text,
             CHANGES[field.metadata['change']])
    return '| ' + ' | '.join(cells) + ' |'


def table(settings):
    """Return the lines of a table."""
    return ['| parameter | default | range | | changes |', '|---|---|---|---|---|',
            *(row(*setting) for setting in settings)]


def tables():
    """Return all tables, with their headings."""
    lines = ['## The node', '', *table(flatten(NodeConfig()))]
    config = Config()
    own = [setting for setting in flatten(config) if '.' not in setting[0]]
    lines += ['', '## The engine', '', *table(own)]
    for group in dict.fromkeys(name.split('.')[0] for name, *_ in flatten(config) if '.' in name):
        of_group = [setting for setting in flatten(config) if setting[0].startswith(f'{group}.')]
        title = type(getattr(config, group)).__doc__.splitlines()[0].rstrip('.')
        lines += ['', f'### {group}: {title[0].lower()}{title[1:]}', '', *table(of_group)]
    return '\n'.join(lines) + '\n'
