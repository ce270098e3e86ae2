"""The command `tidegate demo`."""

from __future__ import annotations

import asyncio
import sys

import click

WITHOUT_MOSQUITTO = """\
Three embedded amqtt brokers stand in for mosquitto. What this cannot show: MQTT 5 (amqtt speaks
3.1.1 only), and bridges of the brokers' own: the demo itself carries messages from one to another.
For the whole picture: apt-get install mosquitto
"""
NOTHING = """\
tidegate demo: needs brokers: install mosquitto (apt-get install mosquitto),
or the embedded ones (pip install 'tidegate[demo]')"""


@click.command()
@click.option("--once", is_flag=True, help="Print the table once and end; 0 if all went well.")
@click.option("--embedded", is_flag=True, help="Use amqtt even where mosquitto is installed.")
def demo(*, once: bool, embedded: bool) -> None:
    """Spread ten MQTT clients over three brokers, and watch.

    Starts three brokers, tidegate in front of them, and ten clients that talk to each other, all on
    loopback ports that are free; shows on which broker each client is, and ends all of it on
    Ctrl-C. Needs no rights and touches no other service. With --once it exits with 0 only if each
    client got a message from a client on another node.

    Example: tidegate demo --once
    """
    # Not before it is asked for: `tidegate -h` shall not import asyncio's subprocesses.
    from tidegate.demo.nodes import find_mosquitto, has_amqtt  # noqa: PLC0415
    from tidegate.demo.screen import Screen  # noqa: PLC0415
    from tidegate.demo.show import Show  # noqa: PLC0415

    mosquitto = None if embedded else find_mosquitto()
    if mosquitto is None:
        if not has_amqtt():
            click.echo(NOTHING, err=True)
            sys.exit(1)
        click.echo(WITHOUT_MOSQUITTO)
    sys.exit(asyncio.run(Show(Screen(), mosquitto=mosquitto, once=once).run()))
