"""What the mapper gives away: voxel grid, map, points, ESDF, octree, mesh, and files.

Results are NumPy arrays and files. Nothing here changes the field or the occupancy grid.
"""
