"""What a CONNACK of MQTT 5 tells about its connection."""

def server_keep_alive(data: bytes) -> int | None:
    """Seconds that the properties say, their length before them; None: they do not. For tests."""
