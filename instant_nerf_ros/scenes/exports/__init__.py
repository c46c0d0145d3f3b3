"""Exports: a mapper's scene in the formats of other programs: meshes, Gaussians, points, cameras.

Everything is in the units of the poses, so in metres if they are. Each module says in which frame
its files are. Nothing is overwritten unless asked for.
"""
