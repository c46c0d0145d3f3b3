"""Posed images from elsewhere than ROS topics: recorded folders and a simulated flat. No ROS."""
