"""The fixtures of the lab: `lab` makes programs and nodes, and ends them after the test."""

import contextlib
import os
import resource
import tempfile

import pytest

from lab import balancer as balancers
from lab import netns
from lab.balancer import Balancer
from lab.certificates import LOCAL_HOST, Authority
from lab.dns import NameServer
from lab.ejabberd import Ejabberd
from lab.foreign import ForeignNode
from lab.gate import Gate
from lab.haproxy import HAProxy
from lab.mosquitto import Mosquitto
from lab.netns import Networks
from lab.nodes import Hole, Node, echo
from lab.ports import Ports
from lab.process import Program
from lab.rabbitmq import RabbitMQ

# The lab itself can be tried on a balancer that is known to work.
PROGRAM = os.environ.get("TIDEGATE_LAB_PROGRAM", "tidegate")


class Lab:
    """What one test has started; everything ends with the test, the last first."""

    program = PROGRAM

    def __init__(self, ports):
        self.ports = ports
        self._stack = contextlib.ExitStack()
        self.folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-lab-"))
        self._programs = []
        self._count = 0

    def node(self, serve=echo, **options) -> Node:
        """A plain TCP node."""
        return self._owned(Node(serve, **options))

    def hole(self) -> Hole:
        """An address that answers no connect."""
        return self._owned(Hole())

    def gate(self, broker) -> Gate:
        """A gate in front of a broker."""
        return self._owned(Gate((broker.host, broker.port)))

    def name_server(self, **options) -> NameServer:
        """A name server that answers from what the test gives it."""
        return self._owned(NameServer(**options))

    def mosquitto(self, **options) -> Mosquitto:
        """A running broker."""
        options.setdefault("port", self.ports.free())
        options.setdefault("name", self._name("node"))
        return self._started(Mosquitto(folder=self.folder, **options))

    def ejabberd(self) -> Ejabberd:
        """Another broker, which is slower to start."""
        return self._started(Ejabberd(folder=self._own_folder("ejabberd"), port=self.ports.free()))

    def rabbitmq(self, *, web=False) -> RabbitMQ:
        """A broker that reads PROXY headers, and takes ten seconds to start, or more."""
        folder = self._own_folder("rabbitmq")
        return self._started(RabbitMQ(folder=folder, ports=self.ports, web=web))

    def haproxy(self, **options) -> HAProxy:
        """A running PROXY reader."""
        return self._started(HAProxy(folder=self.folder, name=self._name("haproxy"), **options))

    def networks(self, nodes) -> Networks:
        """Networks in which each of `nodes` is a name with an address of its own."""
        if not netns.possible():
            message = "needs network namespaces (root, or user namespaces that are allowed)"
            refuse = pytest.fail if os.environ.get("TIDEGATE_PEERS") == "required" else pytest.skip
            refuse(message)
        return self._started(Networks(folder=self.folder, nodes=nodes))

    def foreign_node(self, network, host, port, serve=echo, **options) -> ForeignNode:
        """A plain TCP node in a network of `networks`."""
        return self._owned(ForeignNode(network, host, port, serve, **options))

    def running(self, argv, *, name, prefix=()) -> Program:
        """Any other running program."""
        made = Program(argv, folder=self.folder, name=self._name(name), prefix=prefix)
        return self._started(made)

    def balancer(self, stream, *, program=PROGRAM, workers=1, **options) -> Balancer:
        """A running balancer whose workers all accept; `options` as for `balancer.whole`."""
        conf = balancers.whole(stream, program=program, workers=workers, **options)
        made = self.idle_balancer(conf, program=program)
        made.start()
        ports, paths = balancers.listens(conf)
        return made.wait_ready(ports, workers, paths)

    def idle_balancer(self, conf, *, program=PROGRAM, **options) -> Balancer:
        """A balancer of a whole configuration that the test starts; `options` of `Balancer`."""
        made = Balancer(conf, folder=self._own_folder(program), program=program, **options)
        self._programs.append(made)
        return self._owned(made)

    def upstream(self, *servers, name="nodes") -> str:
        """An `upstream` block; each server is a node or the text after `server`."""
        lines = [f"server {getattr(server, 'address', server)};" for server in servers]
        if PROGRAM == "nginx":
            lines.append(f"zone {name} 64k;")  # there workers choose alike with a zone only
        return f"upstream {name} {{ {' '.join(lines)} }}"

    def in_front(self, *servers, more="", **options) -> tuple[Balancer, int]:
        """A balancer on a free port in front of `servers`; `more` stands in its server block."""
        port = self.ports.free()
        stream = (
            f"{self.upstream(*servers)}\n"
            f"server {{ listen 127.0.0.1:{port}; proxy_pass nodes; {more} }}"
        )
        return self.balancer(stream, **options), port

    def tails(self):
        """What all programs printed, for a test that failed."""
        return [(program.name, program.tail()) for program in self._programs]

    def close(self):
        """End everything."""
        self._stack.close()

    def _started(self, program):
        self._programs.append(program)
        self._owned(program)
        program.start()
        return program

    def _owned(self, thing):
        self._stack.callback(thing.clean_up)
        return thing

    def _own_folder(self, kind):
        folder = os.path.join(self.folder, self._name(kind))
        os.mkdir(folder)
        return folder

    def _name(self, kind):
        self._count += 1
        return f"{kind}{self._count}"


@pytest.fixture(scope="session")
def many_descriptors():
    """As many descriptors as we may have, for this process and what it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="session")
def ports():
    """Free ports of this process."""
    given = Ports()
    yield given
    given.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """An authority that signs what tests need."""
    return Authority(str(tmp_path_factory.mktemp("certificates")))


@pytest.fixture(scope="session")
def server_pair(authority):
    """The certificate and key of a server on this host."""
    return authority.sign("server", extensions=LOCAL_HOST)


@pytest.fixture
def lab(ports):
    """A lab for one test."""
    made = Lab(ports)
    yield made
    made.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show what the programs printed under a test that failed."""
    report = yield
    made = getattr(item, "funcargs", {}).get("lab")
    if made is not None and call.when == "call" and report.failed:
        report.sections += [(f"output of {name}", tail) for name, tail in made.tails() if tail]
    return report
