"""Estimated depth: images of depth from a network, fitted to metres by points that are known.

Here belongs what turns such an image into a DepthEstimate with standard deviations, and the
network itself. What measures points (stereo) is in `motion`; what votes is in `occupancy`.
"""
