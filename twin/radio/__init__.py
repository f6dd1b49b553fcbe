"""The radio of the twin: large-scale propagation, antennas, link adaptation, the SINR raster.

Large-scale only: no fast fading, no packets. Numpy arrays in, numpy arrays out. :mod:`~twin.radio.landscape` knows
what lies between masts and places, :mod:`~twin.radio.field` keeps what every user hears; the arithmetic is in
:mod:`twin.kernels`. Who uses the radio, and how load and interference settle, is :mod:`twin.moments`.
"""
