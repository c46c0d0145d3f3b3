"""Furnishing: random pieces in the rooms of a plan, so that a robot still gets everywhere."""
import dataclasses
from collections.abc import Callable, Sequence
from random import Random

import cv2
import numpy as np

from instant_nerf_ros.simulation.boxes import Box, Vector
from instant_nerf_ros.simulation.choice import length, pick
from instant_nerf_ros.simulation.fixtures import (
    bench,
    bin_of_black,
    boxes_on_floor,
    coat_stand,
    floor_lamp,
    glass_pane,
    kitchen_counter,
    picture,
    plant,
    radiator,
    stool,
    wall_shelf,
    whiteboard,
)
from instant_nerf_ros.simulation.floor_plan import Door, FloorPlan, Room
from instant_nerf_ros.simulation.navigation import CELL, navigable
from instant_nerf_ros.simulation.pieces import (
    bed,
    bookcase,
    cupboard,
    desk,
    dining_table,
    sofa_group,
    wardrobe,
)
from instant_nerf_ros.simulation.textures import books

Piece = Callable[[Random], list[Box]]
# What is tried to be placed in a room, by its purpose, the largest first.
PIECES: dict[str, tuple[Piece, ...]] = {
    'living': (sofa_group, dining_table, glass_pane, bookcase, cupboard, plant, floor_lamp,
               picture, picture, wall_shelf, radiator, stool),
    'kitchen': (kitchen_counter, dining_table, glass_pane, radiator, wall_shelf, stool, stool,
                bin_of_black, picture),
    'bedroom': (bed, wardrobe, glass_pane, cupboard, wall_shelf, picture, floor_lamp, stool),
    'study': (desk, bookcase, glass_pane, wall_shelf, picture, plant, boxes_on_floor),
    'hall': (desk, desk, desk, desk, desk, desk, glass_pane, glass_pane, glass_pane, wardrobe,
             bookcase, bookcase, whiteboard, plant, plant, coat_stand, bin_of_black, stool,
             wall_shelf, boxes_on_floor, radiator, radiator),
    'meeting': (dining_table, glass_pane, whiteboard, picture, coat_stand, plant),
    'cell': (desk, glass_pane, wardrobe, bookcase, wall_shelf, coat_stand, bin_of_black, picture),
    'store': (bookcase, bookcase, boxes_on_floor, boxes_on_floor, boxes_on_floor, wall_shelf),
    'corridor': (bench, wall_shelf, picture, picture, plant, radiator, bin_of_black,
                 boxes_on_floor, whiteboard, coat_stand),
}  # fmt: skip
# Probability that a piece does not stand at a wall.
FREESTANDING: dict[Piece, float] = {desk: 0.5, dining_table: 0.8, stool: 0.8}
ON_WALL = {picture, wall_shelf, whiteboard, glass_pane, radiator}
ATTEMPTS = 12  # to place a piece
DOOR_ZONE = 0.7  # m, before and behind a door, that stays free
CLEARANCE = 6  # cells around the center of a robot that stay free


def furnish(random: Random, plan: FloorPlan, shell: Sequence[Box]) -> list[Box]:
    """Return boxes of furniture for the rooms of a plan, among the boxes of its shell."""
    boxes = list(shell)
    reserved = [_zone(door) for door in plan.doors]
    for room in plan.rooms:
        for piece in PIECES[room.purpose]:
            for _ in range(ATTEMPTS):
                placed = _place(random, piece, room)
                if _fits(placed, [*boxes, *reserved], room) and passable(plan, boxes + placed):
                    boxes += placed
                    break
    return boxes[len(shell):]


def _zone(door: Door) -> Box:
    """Return the space at a door that stays free."""
    low, high = [door.area.west, door.area.south], [door.area.east, door.area.north]
    low[door.axis] -= DOOR_ZONE
    high[door.axis] += DOOR_ZONE
    return Box((low[0], low[1], 0.01), (high[0], high[1], 2.0), books)


def _place(random: Random, piece: Piece, room: Room) -> list[Box]:
    """Return a piece at a random place in a room: at a wall, or anywhere."""
    boxes, area = piece(random), room.area
    (x, y), (east, north) = _bounds(boxes)
    width, depth = east - x, north - y
    wall, length_of_room, depth_of_room = pick(random, (
        (0, area.width, area.depth), (1, area.depth, area.width),
        (2, area.width, area.depth), (3, area.depth, area.width)))
    along = length(random, 0.02, max(length_of_room - width - 0.02, 0.02))
    away = 0.0 if piece in ON_WALL else length(random, 0.01, 0.04)
    if random.random() < FREESTANDING.get(piece, 0.0):
        away = length(random, 0.0, max(depth_of_room - depth, 0.0))

    def turned(corner: Vector) -> Vector:
        u, v = along + corner[0] - x, away + corner[1] - min(y, 0.0)
        return ((area.west + u, area.south + v, corner[2]),
                (area.east - v, area.south + u, corner[2]),
                (area.east - u, area.north - v, corner[2]),
                (area.west + v, area.north - u, corner[2]))[wall]

    return [_box_between(box, turned(box.low), turned(box.high)) for box in boxes]


def _box_between(box: Box, first: Vector, second: Vector) -> Box:
    """Return a box between two opposite corners, rounded to a millimetre."""
    x, y, z = ([round(value, 3) for value in sorted(ends)] for ends in zip(first, second))
    return dataclasses.replace(box, low=(x[0], y[0], z[0]), high=(x[1], y[1], z[1]))


def _bounds(boxes: Sequence[Box]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the lowest and the highest (x, y) of boxes."""
    return ((min(box.low[0] for box in boxes), min(box.low[1] for box in boxes)),
            (max(box.high[0] for box in boxes), max(box.high[1] for box in boxes)))


def _fits(placed: Sequence[Box], others: Sequence[Box], room: Room) -> bool:
    """Return whether boxes are inside a room and intersect no other one."""
    (west, south), (east, north) = _bounds(placed)
    area = room.area
    if west < area.west or south < area.south or east > area.east or north > area.north:
        return False
    above = [box for box in placed if box.low[2] >= 0]  # rugs lie in the floor
    low, high = (np.array([getattr(box, name) for box in above]) for name in ('low', 'high'))
    for other in others:
        if ((low < np.array(other.high) - 1e-6) & (high > np.array(other.low) + 1e-6)).all(
                axis=1).any():
            return False
    return True


def passable(plan: FloorPlan, boxes: Sequence[Box]) -> bool:
    """Return whether a robot gets from each door to each other, and to nearly all free places."""
    free = navigable((0.0, 0.0), (plan.inside.width, plan.inside.depth), boxes, CLEARANCE)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(free.astype(np.uint8))
    doors = [(door.area.west + door.area.east, door.area.south + door.area.north)
             for door in plan.doors]
    found = {labels[int(x / 2 / CELL), int(y / 2 / CELL)] for x, y in doors}
    if len(found) != 1 or 0 in found:
        return False
    areas = statistics[1:, cv2.CC_STAT_AREA]
    return bool(areas.sum() - statistics[found.pop(), cv2.CC_STAT_AREA] < 0.5 / CELL**2)
