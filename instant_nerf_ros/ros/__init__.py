"""The ROS 2 adapter: nodes, parameters, and messages in and out.

It converts messages, calls the library (`nerf/`) and publishes its results. Nothing here computes
a map, reads a recording (`data/`) or imports torch.
"""
