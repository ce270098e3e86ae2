"""Clients that come one after the other and go: CONNECT, CONNACK, DISCONNECT, the node's end.

usage: visit.py [SOURCE=]CLIENT_ID...   (to port 1883 of this network; SOURCE is their address)
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import packets, sockets

for word in sys.argv[1:]:
    source, _, client_id = word.rpartition("=")
    with packets.open_mqtt(1883, client_id, source=source) as sock:
        sock.sendall(packets.DISCONNECT)
        assert sockets.receive_all(sock) == b""
