"""Sessions: everything that a map was made of, written to disk while the map is made.

Records in checksummed files, the thread that writes them, and the way back to a Mapper. It uses
the library; it knows neither ROS nor torch.
"""
