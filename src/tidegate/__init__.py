"""An nginx.conf comes in, balanced MQTT connections go out; docs/internals.md tells how.

Read `config.model` first, then follow a connection: `process.worker`, `stream.session`.
"""
