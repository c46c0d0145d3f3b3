"""The adapter: ROS 2 messages, parameters and nodes around the library."""
