"""A reload changes files, formats and buffers of logs; a session is logged as it was accepted."""

import os
import signal

from lab import proc, sockets
from lab.nodes import greet
from lab.process import read
from lab.waiting import wait_until


def text_of(balancer, name):
    return read(os.path.join(balancer.folder, name))


def logs_of_workers(balancer):
    """Names of the access logs that workers have open."""
    paths = [path for pid in balancer.workers() for path in proc.descriptors(pid).values()]
    inside = [path for path in paths if os.path.dirname(path) == balancer.folder]
    return {os.path.basename(path) for path in inside} - {"error.log", "tidegate.out"}


def test_logs_come_and_go_and_no_line_is_lost(lab):
    node, port = lab.node(greet(b"x")), lab.ports.free()

    def server(logs):
        return f"server {{ listen 127.0.0.1:{port}; proxy_pass {node.address}; {logs} }}"

    formats = "log_format own '$connection'; log_format new 'new $connection';"
    before = server("access_log gone.log own buffer=32k; access_log stays.log own;")
    after = server("access_log stays.log new buffer=32k; access_log comes.log new;")
    balancer = lab.balancer(f"{formats} {before}")
    with open(balancer.conf, encoding="utf-8") as file:
        text = file.read()

    def visit():
        with sockets.open_raw(port) as client:
            assert sockets.receive(client, 1) == b"x"

    visit()
    with sockets.open_raw(port) as long_lived:
        assert sockets.receive(long_lived, 1) == b"x"
        wait_until(lambda: text_of(balancer, "stays.log") == "1\n", "the first is logged")
        assert text_of(balancer, "gone.log") == ""
        with open(balancer.conf, "w", encoding="utf-8") as file:
            file.write(text.replace(before, after))
        balancer.send_signal(signal.SIGHUP)
        balancer.wait_for_output("generation 1 → 2")
        visit()
        wait_until(lambda: text_of(balancer, "comes.log") == "new 3\n", "the third is logged")
        assert logs_of_workers(balancer) == {"gone.log", "stays.log", "comes.log"}
    wait_until(lambda: text_of(balancer, "stays.log") == "1\n2\n", "the second as it came in")
    wait_until(
        lambda: logs_of_workers(balancer) == {"stays.log", "comes.log"},
        "a log that nobody writes to is closed",
        context=balancer.errors,
    )
    assert balancer.stop(signal.SIGQUIT) == 0
    assert text_of(balancer, "gone.log") == "1\n2\n"
    assert text_of(balancer, "stays.log") == "1\n2\nnew 3\n"
    assert text_of(balancer, "comes.log") == "new 3\n"
