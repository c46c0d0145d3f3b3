"""Products: voxel grid, map, points, ESDF, octree, mesh, and files.

They are NumPy arrays and files. Nothing here changes the field or the occupancy grid.
"""
