"""The viewer: a page in a browser that shows a node that maps, or a saved scene.

A process of its own: it talks to a node over topics and services only, and imports torch only to
render a saved scene. Modules whose names begin with node_ are the only ones that know ROS.
"""
