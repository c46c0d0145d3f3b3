"""The parameters of the nodes: their defaults, their declaration, and changes while running.

node_config holds the settings of the ROS side. Those of the mapping library are in nerf/config.py,
and what a changed parameter does is decided where it is used.
"""
