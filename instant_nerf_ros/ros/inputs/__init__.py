"""From subscriptions to the Mapper: messages are paired with TF, decoded, queued and added.

Camera images, depth images, range scans, poses and the trajectory of a SLAM come in here. Nothing
here publishes; modules of reporting/ may be imported, but never import from here.
"""
