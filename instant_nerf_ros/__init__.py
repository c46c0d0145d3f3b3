"""Online radiance-field mapping for ROS 2.

::

    image + pose -> keyframes -> rays -> samples -> field -> composite -> loss    (mapper.step)
                                            ^         |
                                            occupancy <-> grids                   (mapper.map)
                                                      |
                                                      render                      (mapper.render)

`nerf` is the library (torch and numpy), `ros` the adapter, `data` posed images from elsewhere.
"""
