"""What the servers of one configuration say to clients, with tidegate and with nginx."""

from __future__ import annotations

import os

from lab import sockets
from lab.balancer import whole
from lab.process import read
from lab.waiting import wait_until

# What nginx's lexer, and ours, would read as something else inside of double quotes.
ESCAPES = {'"': '\\"', "\\": "\\\\", "\t": "\\t", "\r": "\\r", "\n": "\\n"}


def quoted(text):
    """A word of a configuration with exactly this text."""
    return '"' + "".join(ESCAPES.get(one, one) for one in text) + '"'


def to_keys(lab, program, blocks, keys, *, answer):
    """What each key makes of `answer`; a server of its own gives it to `$key` by `set`."""
    paths = [os.path.join(lab.folder, f"{program[0]}.{number}") for number in range(len(keys))]
    servers = "\n".join(
        f"server {{ listen unix:{path}; set $key {quoted(key)}; return {quoted(answer)}; }}"
        for path, key in zip(paths, keys, strict=True)
    )
    running = start(lab, program, f"{blocks}\n{servers}", paths)
    said = [hear(path) for path in paths]
    running.clean_up()
    for path in paths:
        if os.path.exists(path):
            os.unlink(path)
    return said


def to_clients(lab, program, blocks, clients, *, answer):
    """What clients with these source addresses make of `answer`."""
    port = lab.ports.free()
    server = f"server {{ listen 0.0.0.0:{port}; return {quoted(answer)}; }}"
    running = lab.balancer(f"{blocks}\n{server}", program=program)
    said = [hear(port, source=one) for one in clients]
    running.clean_up()
    return said


def start(lab, program, stream, paths):
    """A balancer that answers on all of these sockets."""
    running = lab.idle_balancer(
        whole(stream, program=program, level="warn"), program=program
    ).start()
    running.wait_until(lambda: all(os.path.exists(path) for path in paths), "listens")
    wait_until(running.workers, "has a worker")
    return running


def hear(target, *, source=None):
    """All that a server says to a client from this address."""
    with sockets.open_raw(target, source=source) as client:
        return sockets.receive_all(client)


def of_sessions(lab, program, blocks, keys, *, server):
    """The error log, and the access log's `$status $upstream_addr`, of a session for each key.

    `server` stands in each server; what differs between two runs of the same is left out.
    """
    paths = [os.path.join(lab.folder, f"{program[0]}.{number}") for number in range(len(keys))]
    servers = "\n".join(
        f"server {{ listen unix:{path}; set $key {quoted(key)}; {server} }}"
        for path, key in zip(paths, keys, strict=True)
    )
    log = "log_format said '$status $upstream_addr'; access_log said.log said;"
    running = start(lab, program, f"{log}\n{blocks}\n{servers}", paths)
    for count, path in enumerate(paths, start=1):
        with sockets.open_raw(path) as client:
            sockets.receive(client, 1)
        said = os.path.join(running.folder, "said.log")
        wait_until(lambda: len(read(said).splitlines()) == count, "is logged")  # noqa: B023
    running.clean_up()
    errors = [
        line.partition(": *")[2].partition(" ")[2].replace(f"{lab.folder}/{program[0]}.", "")
        for line in running.errors().splitlines()
        if ": *" in line
    ]
    return errors, read(said).splitlines()
