"""Motion: poses and distances from the images of a moving camera without depth.

Poses are corrected by bundle adjustment of the latest keyframes. Pseudo depth comes from
multi-view stereo (plane sweep); it trains the field, but has no vote in the occupancy grid.
"""
