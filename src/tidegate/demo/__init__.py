"""`tidegate demo`: real brokers, a real balancer in front of them, and ten MQTT clients.

In comes a command line, out go processes on loopback ports, a live table, and nothing that stays
behind. Read `show.py` first.
"""
