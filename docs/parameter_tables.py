"""The tables of reference/parameters.md, generated from the dataclasses."""
import dataclasses
import math
from typing import Any

from instant_nerf_ros.nerf import Config, flatten
from instant_nerf_ros.ros.params.node_config import PER_CAMERA, NodeConfig

CHANGES = {'live': 'live', 'configure': 'before configure', 'start': 'at the start'}

Setting = tuple[str, 'dataclasses.Field[Any]', Any]  # dotted name, field, default


def default(value: Any) -> str:
    """Return a value in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(list(value) if isinstance(value, tuple) else value)


def allowed(metadata: Any) -> str:
    """Return the choices or the range of a setting; '' without either."""
    if metadata['choices']:
        return ', '.join(f'`{choice}`' for choice in metadata['choices'])
    low, high = metadata['low'], metadata['high']
    return f'{low} to {high}' if math.isfinite(low) and math.isfinite(high) else ''


def row(name: str, field: 'dataclasses.Field[Any]', value: Any) -> str:
    """Return the line of a setting."""
    text, _, unit = field.metadata['description'].partition(' [')
    cells = (f"`{name}`{' ◦' if name in PER_CAMERA else ''}",
             f"`{default(value)}` {unit.rstrip(']')}".strip(), allowed(field.metadata), text,
             CHANGES[field.metadata['change']])
    return '| ' + ' | '.join(cells) + ' |'


def table(settings: list[Setting]) -> list[str]:
    """Return the lines of a table."""
    return ['| parameter | default | range | | changes |', '|---|---|---|---|---|',
            *(row(*setting) for setting in settings)]


def tables() -> str:
    """Return all tables, with their headings."""
    config = Config()
    settings = list(flatten(config))
    lines = ['## The node', '', *table(list(flatten(NodeConfig()))), '', '## The engine', '',
             *table([setting for setting in settings if '.' not in setting[0]])]
    for group in dict.fromkeys(name.split('.')[0] for name, *_ in settings if '.' in name):
        of_group = [setting for setting in settings if setting[0].startswith(f'{group}.')]
        title = type(getattr(config, group)).__doc__.splitlines()[0].rstrip('.')
        lines += ['', f'### {group}: {title[0].lower()}{title[1:]}', '', *table(of_group)]
    return '\n'.join(lines) + '\n'
