"""Data: readers of posed images and recordings, and the metrics of views and maps.

Recordings in every supported layout follow the same conventions after reading: optical frames,
metres, z up. There is nothing simulated here (see simulation/), and nothing that trains.
"""
