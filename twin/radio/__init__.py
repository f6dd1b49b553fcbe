"""First radio model: large-scale propagation, sector antennas, link adaptation, load-coupled SINR.

Large-scale only: no fast fading, no packets. Imports the standard library, numpy and `twin.errors` at most.
"""
