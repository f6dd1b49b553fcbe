"""Writes codecs of the wire contract for engines that must not carry a protobuf library.

``schema`` reads the compiled contract into a small neutral model; one module per language turns the model into
source text; ``__main__`` writes the files. Usage: ``python -m tools.engine_codec [--check]``.
"""
