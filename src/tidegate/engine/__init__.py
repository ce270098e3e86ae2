"""Sockets, bytes and time: native sessions that asyncio's loop runs as its selector.

In come listening descriptors and, per connection, a decision made in Python; out go relayed bytes
and one report per session. Nothing here knows MQTT, HTTP, balancing or configuration.
Read `types.pxd` first, then `session.pyx`; `loop.pyi` is what the other rooms use.
"""
