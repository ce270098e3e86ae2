import contextlib
import os
import re
import socket
import subprocess
import sys

import pytest

from tidegate.config.model import Keepalive, Level, Listen
from tidegate.config.span import Span
from tidegate.dataclasses import replace
from tidegate.process import sockets as module
from tidegate.process.errors import StartError
from tidegate.process.sockets import ListeningSockets
from tidegate.wire.address import Address

LOOPBACK = "127.0.0.1"


def on(host, port=0, **options):
    family = socket.AF_UNIX if "/" in host else socket.AF_INET6 if ":" in host else socket.AF_INET
    listen = Listen(
        address=Address(family=family, host=host, port=port),
        backlog=511,
        reuseport=False,
        deferred=False,
        fastopen=None,
        ipv6only=None,
        rcvbuf=None,
        sndbuf=None,
        keepalive=None,
        proxy_protocol=False,
        span=Span("x", 1, 1),
    )
    return replace(listen, **options)


@pytest.fixture
def port():
    """A port that is free on all addresses just now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


class Opened(ListeningSockets):
    """Sockets that remember what they were opened for."""

    def fds(self, seat):
        """What the worker in that seat listens on, by address."""
        found = self.for_seat(seat, self.listens, seats=self.workers)
        return {key.partition(":")[2]: fd for key, fd in found.items()}


@pytest.fixture
def opened(monkeypatch):
    """Opens listening sockets, without patience, and closes them at the end."""
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    with contextlib.ExitStack() as stack:

        def open_listening(*listens, workers=1, notes=None):
            result = Opened()
            result.listens, result.workers = listens, workers
            stack.callback(result.close)
            result.open(
                listens,
                workers=workers,
                note=lambda level, text: notes is not None and notes.append((level, text)),
            )
            return result

        yield open_listening


@contextlib.contextmanager
def view(fd):
    """A socket object over a descriptor that stays open."""
    sock = socket.socket(fileno=os.dup(fd))
    with sock:
        yield sock


def option(fd, level, name):
    with view(fd) as sock:
        return sock.getsockopt(level, name)


def takes(fd):
    """Whether a connection waits on a listening socket; takes it."""
    with view(fd) as sock, contextlib.suppress(BlockingIOError):
        sock.accept()[0].close()
        return True
    return False


def test_workers_share_one_socket_per_address(opened, port):
    sockets = opened(on(LOOPBACK, port), workers=3)
    assert sockets.fds(0) == sockets.fds(2)
    assert list(sockets.fds(0)) == [f"{LOOPBACK}:{port}"]


def test_with_reuseport_each_worker_has_its_own(opened, port):
    sockets = opened(on(LOOPBACK, port, reuseport=True), workers=12)
    found = [sockets.fds(worker) for worker in range(12)]
    assert {tuple(one) for one in found} == {(f"{LOOPBACK}:{port}",)}
    assert len({fd for one in found for fd in one.values()}) == 12


@pytest.mark.parametrize("host", [LOOPBACK, "0.0.0.0"])
@pytest.mark.parametrize("reuseport", [False, True])
@pytest.mark.parametrize("other", [False, True])
def test_a_port_that_another_instance_has_is_found_taken(opened, port, host, reuseport, other):
    opened(on(LOOPBACK, port, reuseport=other), workers=2)
    with pytest.raises(StartError, match="still could not bind"):
        opened(on(host, port, reuseport=reuseport), workers=2)


def test_nobody_else_can_join_a_port_that_is_ours_alone(opened, port):
    opened(on(LOOPBACK, port), workers=3)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="Address already in use"):
            other.bind((LOOPBACK, port))


def test_a_path_may_have_any_character(opened, tmp_path):
    path = str(tmp_path / "in#1")
    assert list(opened(on(path)).fds(0)) == [f"unix:{path}"]


def test_an_address_that_two_servers_name_is_opened_once(opened, port):
    assert len(opened(on(LOOPBACK, port), on(LOOPBACK, port)).fds(0)) == 1


@pytest.mark.parametrize("reuseport", [False, True])
def test_the_best_fitting_address_takes_the_connection(opened, port, reuseport):
    sockets = opened(
        on("127.0.0.2", port, reuseport=reuseport),
        on("0.0.0.0", port, reuseport=reuseport),
        on("127.0.0.3", port),
    )
    fds = sockets.fds(0)
    for host, key in (
        ("127.0.0.1", f"0.0.0.0:{port}"),
        ("127.0.0.2", f"127.0.0.2:{port}"),
        ("127.0.0.3", f"127.0.0.3:{port}"),
    ):
        with socket.create_connection((host, port)):
            assert [name for name, fd in fds.items() if takes(fd)] == [key]


@pytest.mark.parametrize("only", [None, True])
def test_ipv6_leaves_the_ipv4_port_alone(opened, port, only):
    fds = opened(on("::", port, ipv6only=only), on("0.0.0.0", port)).fds(0)
    with socket.create_connection((LOOPBACK, port)):
        assert [name for name, fd in fds.items() if takes(fd)] == [f"0.0.0.0:{port}"]


def test_ipv6only_off_takes_ipv4_too(opened, port):
    (fd,) = opened(on("::", port, ipv6only=False)).fds(0).values()
    with socket.create_connection((LOOPBACK, port)):
        assert takes(fd)


def test_options_reach_the_socket(opened, port):
    keepalive = Keepalive(on=True, idle=31, interval=7, count=3)
    (fd,) = (
        opened(
            on(
                LOOPBACK,
                port,
                rcvbuf=30_000,
                sndbuf=40_000,
                deferred=True,
                fastopen=5,
                keepalive=keepalive,
            )
        )
        .fds(0)
        .values()
    )
    tcp = socket.IPPROTO_TCP
    assert option(fd, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert option(fd, tcp, socket.TCP_KEEPIDLE) == 31
    assert option(fd, tcp, socket.TCP_KEEPINTVL) == 7
    assert option(fd, tcp, socket.TCP_KEEPCNT) == 3
    assert option(fd, tcp, socket.TCP_DEFER_ACCEPT) > 0
    assert option(fd, tcp, socket.TCP_FASTOPEN) == 5
    # The kernel doubles these.
    assert option(fd, socket.SOL_SOCKET, socket.SO_RCVBUF) == 60_000
    assert option(fd, socket.SOL_SOCKET, socket.SO_SNDBUF) == 80_000


@pytest.mark.needs("iproute2")
def test_the_backlog_reaches_the_kernel(opened, port):
    opened(on(LOOPBACK, port, backlog=17))
    listed = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"LISTEN\s+0\s+17\s+{LOOPBACK}:{port}\s", listed)


def test_a_plain_socket_has_the_kernels_defaults(opened, port):
    (fd,) = opened(on(LOOPBACK, port)).fds(0).values()
    assert option(fd, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
    assert option(fd, socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) == 0
    assert not os.get_blocking(fd)
    assert not os.get_inheritable(fd)


def test_keepalive_can_be_switched_off(opened, port):
    off = Keepalive(on=False)
    (fd,) = opened(on(LOOPBACK, port, keepalive=off)).fds(0).values()
    assert option(fd, socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


def test_a_unix_socket_is_open_to_all_and_goes_with_us(opened, tmp_path):
    path = str(tmp_path / "in.sock")
    sockets = opened(on(path))
    assert os.stat(path).st_mode & 0o777 == 0o666
    sockets.close()
    assert not os.path.exists(path)


def test_a_unix_socket_that_a_killed_process_left_is_replaced(opened, tmp_path):
    path = str(tmp_path / "in.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
        left.listen()
    (fd,) = opened(on(path)).fds(0).values()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        assert takes(fd)


def test_a_unix_socket_that_somebody_listens_on_is_left_to_him(opened, tmp_path):
    path = str(tmp_path / "in.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        with pytest.raises(StartError, match=rf"unix:{path} \(process {os.getpid()}\)"):
            opened(on(path))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_a_file_where_the_unix_socket_should_be_is_not_removed(opened, tmp_path):
    path = tmp_path / "in.sock"
    path.write_text("precious")
    with pytest.raises(StartError, match="is a file of another kind; choose another path"):
        opened(on(str(path)))
    assert path.read_text() == "precious"


def test_a_unix_socket_that_somebody_else_made_meanwhile_stays(opened, tmp_path):
    path = str(tmp_path / "in.sock")
    sockets = opened(on(path))
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        sockets.close()
        assert os.path.exists(path)


def test_who_holds_the_port_is_named_and_the_first_failure_is_told_at_once(opened, port):
    code = (
        "import socket, sys, time\n"
        f"taken = socket.create_server(('{LOOPBACK}', {port}))\n"
        "print('up', flush=True)\n"
        "sys.stdin.read()"
    )
    notes = []
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        with pytest.raises(StartError) as raised:
            opened(on(LOOPBACK, port), notes=notes)
        holder.stdin.close()
    assert notes == [
        (Level.EMERG, f"bind() to {LOOPBACK}:{port} failed (98: Address already in use)"),
        (Level.NOTICE, "try again to bind() after 500ms"),
    ]
    assert f"listens on {LOOPBACK}:{port} (process {holder.pid})" in str(raised.value)


def test_a_port_that_is_given_back_meanwhile_is_taken(opened, port):
    with socket.create_server((LOOPBACK, port)) as other:

        class GivesBack(list):
            def append(self, note):
                other.close()
                super().append(note)

        notes = GivesBack()
        assert opened(on(LOOPBACK, port), notes=notes).fds(0)
        assert notes


def test_an_address_of_another_machine_is_explained(opened, port):
    with pytest.raises(
        StartError,
        match=r"bind\(\) to 192.0.2.1:\d+ failed \(99: .*\); no network interface of this machine",
    ):
        opened(on("192.0.2.1", port))


def test_a_privileged_port_is_explained(tmp_path):
    # As another user, and without the capability that root has.
    code = (
        "import os, sys\n"
        "sys.path[:0] = sys.argv[1:]\n"
        "import test_sockets as t\n"
        "from tidegate.process.sockets import ListeningSockets\n"
        "from tidegate.process.errors import StartError\n"
        "import tidegate.process.holders, encodings.idna\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try:\n"
        "    ListeningSockets().open([t.on('127.0.0.1', 1)], workers=1, note=print)\n"
        "except StartError as error:\n"
        "    print(error)\n"
    )
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
        if int(file.read()) <= 1:
            pytest.skip("this kernel lets everybody bind to every port")
    done = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__), *sys.path],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout == (
        "bind() to 127.0.0.1:1 failed (13: Permission denied);"
        " run as root, grant CAP_NET_BIND_SERVICE, or use a port above 1023\n"
    )


def test_a_failure_gives_back_what_was_opened(opened, port, tmp_path):
    path = str(tmp_path / "in.sock")
    with pytest.raises(StartError):
        opened(on(path), on(LOOPBACK, port), on("192.0.2.1", port))
    assert not os.path.exists(path)
    socket.create_server((LOOPBACK, port)).close()


def test_options_of_a_socket_that_stays_change_only_when_they_are_in_force(opened, port):
    former, later = (on(LOOPBACK, port, deferred=deferred) for deferred in (False, True))
    sockets = opened(former)
    [fd] = sockets.fds(0).values()
    notes = []

    def deferred():
        return option(fd, socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) > 0

    new = sockets.open([later], workers=1, note=lambda *note: notes.append(note))
    assert new == []
    assert not deferred()
    sockets.keep([later], note=lambda *note: notes.append(note))
    assert deferred()
    assert list(sockets.fds(0).values()) == [fd]
    assert notes == []
