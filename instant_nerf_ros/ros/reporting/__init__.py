"""Reporting: the state of the node, in the log and on /diagnostics.

Counters that other threads fill, checks of the ROS graph, and the publisher that reads them.
Nothing here subscribes to data or changes what the node does.
"""
