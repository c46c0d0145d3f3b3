"""Motion: poses and distances from the images of a moving camera.

Without depth, poses are corrected by bundle adjustment of the latest keyframes; with depth, by
registration of their surfaces. Pseudo depth comes from
multi-view stereo (plane sweep); it trains the field, but has no vote in the occupancy grid.
"""
