"""Outputs: the publishers of maps, volumes, paths and rendered views, and the map services.

Everything here is called by the training thread, which owns the Mapper. Diagnostics are in
`reporting/`, conversions of common messages in `conversions.py`.
"""
