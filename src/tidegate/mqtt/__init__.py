"""MQTT packets: bytes of a connection's start come in, frozen values go out; and the way back.

Sans-IO and pure Python, for MQTT 3.1, 3.1.1 and 5. Read `connect.py` first: what a CONNECT says,
and `parse_connect.py`: how it is read. "Not enough yet" is a value (`fixed_header.Need`), every
fault is an `errors.MqttError`. `rewrite.py` changes what a client said about itself, `connack.py`
and `disconnect.py` hold what a node or we answer.
"""
