"""What the images of a moving camera give without depth: corrected poses and pseudo depth.

Bundle adjustment of the latest keyframes, and multi-view stereo by plane sweeping. Pseudo depth
trains the field, but has no vote in the occupancy grid.
"""
