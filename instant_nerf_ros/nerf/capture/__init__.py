"""What the sensors have measured: keyframes, range scans, and the training rays made of them.

Images, depths and poses are kept here as they came. Nothing here evaluates the radiance field or
decides what is occupied.
"""
