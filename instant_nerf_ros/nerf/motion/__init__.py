"""Motion: poses and distances from the images of a moving camera.

Without depth, poses are corrected by bundle adjustment of the latest keyframes; with depth, by
registration of their surfaces. Multi-view stereo (plane sweep) gives depth with standard
deviations. It trains the field as pseudo depth, and votes where several images agree.
"""
