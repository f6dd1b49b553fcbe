"""The parts of a 6G network that can be modelled on the level of flows.

Carriers of FR3 and hot-spots above 100 GHz, reconfigurable surfaces, sensing by radar echo, service by several cells
at once. Numpy arrays in, numpy arrays out; the network (:mod:`twin.network`) calls them. What is not modelled is
said in ``docs/model.md``.
"""
