"""Simulation: a furnished flat, its camera images with exact depth, and the drive of a robot.

The flat and its ground truth (`flat`), the trajectory (`tour`), and the ray caster that they use.
There is no ROS here (see ros/playback/sim_robot), and no reader of recordings (see data/).
"""
