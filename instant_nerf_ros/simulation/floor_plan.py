"""Floor plans: rooms that fill a rectangle, doors between them, and the walls that remain.

Plan coordinates: a corner of the inside is (0, 0), x east, y north; metres.
"""
import dataclasses
import itertools
from collections.abc import Sequence
from random import Random

from instant_nerf_ros.simulation.choice import length, pick, shuffled

WALL = 0.12  # m, thickness between rooms
MARGIN = 0.15  # m, between a door and the corner of a room
MIN_SIDE = 2.3  # m, of a room
EXTRA_DOORS = 0.3  # probability that two rooms that are connected already have a door too


@dataclasses.dataclass(frozen=True)
class Rectangle:
    """A rectangle of the plan [m]."""

    west: float
    south: float
    east: float
    north: float

    @property
    def width(self) -> float:
        """Return the length along x [m]."""
        return self.east - self.west

    @property
    def depth(self) -> float:
        """Return the length along y [m]."""
        return self.north - self.south

    def overlaps(self, other: 'Rectangle') -> bool:
        """Return whether they have an area in common."""
        return (self.west < other.east - 1e-9 and other.west < self.east - 1e-9
                and self.south < other.north - 1e-9 and other.south < self.north - 1e-9)


@dataclasses.dataclass(frozen=True)
class Room:
    """A room, by its purpose: a key of furnishing.PIECES."""

    purpose: str
    area: Rectangle


@dataclasses.dataclass(frozen=True)
class Door:
    """A doorway in the wall between two rooms."""

    area: Rectangle  # of the gap in the wall
    axis: int  # 0: one passes along x, 1: along y


@dataclasses.dataclass(frozen=True)
class FloorPlan:
    """Rooms, doors and the outer size of a floor."""

    inside: Rectangle
    rooms: list[Room]
    doors: list[Door]

    def walls(self) -> list[Rectangle]:
        """Return rectangles that fill what is neither room nor door."""
        open_areas = [room.area for room in self.rooms] + [door.area for door in self.doors]
        areas = [self.inside, *open_areas]
        xs = sorted({value for area in areas for value in (area.west, area.east)})
        ys = sorted({value for area in areas for value in (area.south, area.north)})
        columns: list[Rectangle] = []
        for west, east in itertools.pairwise(xs):
            for south, north in itertools.pairwise(ys):
                cell = Rectangle(west, south, east, north)
                if any(cell.overlaps(area) for area in open_areas):
                    continue
                if columns and (columns[-1].west, columns[-1].north) == (west, south):
                    columns[-1] = dataclasses.replace(columns[-1], north=north)
                else:
                    columns.append(cell)
        walls: list[Rectangle] = []
        for column in columns:  # one is extended if it continues to the east
            for index, wall in enumerate(walls):
                if (wall.east, wall.south, wall.north) == (
                        column.west, column.south, column.north):
                    walls[index] = dataclasses.replace(wall, east=column.east)
                    break
            else:
                walls.append(column)
        return walls


def flat_plan(random: Random) -> FloorPlan:
    """Return a flat of four to six rooms, by binary space partitioning."""
    inside = Rectangle(0.0, 0.0, length(random, 8.0, 10.5), length(random, 6.0, 7.5))
    areas = [inside]
    for _ in range(pick(random, (3, 3, 4))):
        area = max(areas, key=lambda area: area.width * area.depth)
        parts = _split(random, area)
        if parts:
            index = areas.index(area)
            areas[index:index + 1] = parts
    areas.sort(key=lambda area: -area.width * area.depth)
    purposes = ['living', 'kitchen', *shuffled(random, ('bedroom', 'study', 'bedroom'))]
    rooms = [Room(purpose, area) for purpose, area in zip(purposes, areas)]
    return FloorPlan(inside, rooms, _doors(random, rooms, hubs={'living'}))


def office_plan(random: Random) -> FloorPlan:
    """Return a hall of desks with a row of smaller rooms along a side."""
    inside = Rectangle(0.0, 0.0, length(random, 10.0, 13.0), length(random, 7.5, 9.0))
    edge = length(random, 2.6, 3.0)
    hall = dataclasses.replace(inside, south=round(edge + WALL, 2))
    row = dataclasses.replace(inside, north=edge)
    rooms = [Room('hall', hall)] + [
        Room(purpose, area) for purpose, area in zip(
            shuffled(random, ('meeting', 'cell', 'kitchen')), _row(random, row, 3))]
    return FloorPlan(inside, rooms, _doors(random, rooms, hubs={'hall'}))


def corridor_plan(random: Random) -> FloorPlan:
    """Return a corridor with rooms on both sides."""
    inside = Rectangle(0.0, 0.0, length(random, 14.0, 18.0), length(random, 7.2, 8.0))
    south = length(random, 2.5, 3.0)
    north = round(south + WALL + length(random, 1.6, 2.1), 2)
    corridor = dataclasses.replace(inside, south=round(south + WALL, 2), north=north)
    rows = (dataclasses.replace(inside, north=south),
            dataclasses.replace(inside, south=round(north + WALL, 2)))
    rooms = [Room('corridor', corridor)] + [
        Room(pick(random, ('cell', 'cell', 'meeting', 'store')), area)
        for row in rows for area in _row(random, row, pick(random, (3, 4)))]
    doors = _doors(random, rooms, hubs={'corridor'})
    return FloorPlan(inside, rooms, doors)


def _split(random: Random, area: Rectangle) -> list[Rectangle]:
    """Return the two parts of an area, split across its longer side; none if it is too small."""
    along_x = area.width > area.depth
    side = area.width if along_x else area.depth
    if side < 2 * MIN_SIDE + WALL:
        return []
    share = 0.35 + 0.3 * random.random()
    first = round(min(max(share * side, MIN_SIDE), side - WALL - MIN_SIDE), 2)
    if along_x:
        middle = round(area.west + first, 2)
        return [dataclasses.replace(area, east=middle),
                dataclasses.replace(area, west=round(middle + WALL, 2))]
    middle = round(area.south + first, 2)
    return [dataclasses.replace(area, north=middle),
            dataclasses.replace(area, south=round(middle + WALL, 2))]


def _row(random: Random, area: Rectangle, count: int) -> list[Rectangle]:
    """Return so many rooms of various widths beside each other."""
    shares = [0.7 + 0.6 * random.random() for _ in range(count)]
    ends = [area.west - WALL]
    for share in itertools.accumulate(shares):
        ends.append(round(area.west + share / sum(shares) * area.width, 2))
    ends[-1] = area.east
    return [dataclasses.replace(area, west=round(west + WALL, 2), east=east)
            for west, east in itertools.pairwise(ends)]


def _doors(random: Random, rooms: Sequence[Room], hubs: set[str]) -> list[Door]:
    """Return doors that connect all rooms, to those of the purposes `hubs` if they can."""
    candidates = []
    for (i, first), (j, second) in itertools.permutations(enumerate(rooms), 2):
        door = _door(random, first.area, second.area)
        if door:
            candidates.append((door, {i, j}, bool({first.purpose, second.purpose} & hubs)))
    group = list(range(len(rooms)))
    doors = []
    for door, (i, j), at_hub in sorted(shuffled(random, candidates), key=lambda each: not each[2]):
        if group[i] == group[j] and (at_hub or random.random() > EXTRA_DOORS):
            continue
        group = [group[i] if each == group[j] else each for each in group]
        doors.append(door)
    return doors


def _door(random: Random, first: Rectangle, second: Rectangle) -> Door | None:
    """Return a door from one room to one in its east or north, None if they are not adjacent."""
    width = length(random, 0.80, 0.95)
    for axis, gap in ((0, second.west - first.east), (1, second.south - first.north)):
        low = max(first.south, second.south) if axis == 0 else max(first.west, second.west)
        high = min(first.north, second.north) if axis == 0 else min(first.east, second.east)
        if abs(gap - WALL) < 1e-6 and high - low >= width + 2 * MARGIN:
            start = length(random, low + MARGIN, high - MARGIN - width)
            end = round(start + width, 2)
            if axis == 0:
                return Door(Rectangle(first.east, start, second.west, end), 0)
            return Door(Rectangle(start, first.north, end, second.south), 1)
    return None
