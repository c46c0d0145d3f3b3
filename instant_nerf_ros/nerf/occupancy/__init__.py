"""The occupancy grid: which voxels training skips, and which ones rays have hit or passed.

Votes of depth images, scans and rendered keyframes are integrated here. What planners and people
get from the grid is made in products/.
"""
