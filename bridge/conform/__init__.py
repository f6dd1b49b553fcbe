"""Conformance kit: checks any implementation of `bridge.v1` against the rules in `docs/bridge.md`.

:mod:`bridge.conform.servers` plays clients against a server, :mod:`bridge.conform.clients` plays the server for a
client. It shares no code with the server and the client of this project beyond the generated messages, so that a
mistake made there is not made here again.
"""
