"""First radio model: large-scale propagation, sector antennas, link adaptation, the SINR raster.

Large-scale only: no fast fading, no packets. Numpy arrays in, numpy arrays out; who uses the radio, and how load
and interference settle, is :mod:`twin.moments`.
"""
