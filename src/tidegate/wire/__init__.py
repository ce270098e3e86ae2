"""What may come before MQTT on a connection, as functions between bytes and values.

Sans-IO: no socket is touched here. Read `address.py` first; `proxy_protocol.py` is the header that
tells a broker who the client is.
"""
