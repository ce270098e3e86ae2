"""A name server under the test's control, on UDP and TCP: honest, failing, silent or hostile."""

import contextlib
import errno
import selectors
import socket
import struct
import threading

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

LOCAL = "127.0.0.1"
MOST_OVER_UDP = 512
FORGED = "127.66.66.66"  # in answers that nobody should believe
CHAIN = 20  # aliases that one answer follows at most
TTL = 1


class NameServer:
    """Answers from `records`; all of it may be changed while it runs.

    `rcodes` are answered for a name instead; names in `silent` get no answer, those in `truncated`
    none over UDP, and before the answer of those in `forged` come others. `spoil` makes other bytes
    of an answer's. `asked` is every question as (name, type, "udp" or "tcp").
    """

    def __init__(self, *, ttl=TTL):
        self.ttl = ttl
        self.records = {}
        self.rcodes = {}
        self.silent = set()
        self.truncated = set()
        self.forged = set()
        self.spoil = bytes
        self.asked = []
        self._udp, self._tcp = _sockets()
        self.port = self._udp.getsockname()[1]
        self.address = f"{LOCAL}:{self.port}"
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def set(self, name, kind, *values):
        """Make these the records of a name and type; with none the name stays, and is empty."""
        self.records[name.lower(), kind] = values

    def drop(self, name):
        """Let there be no such name."""
        for key in [key for key in self.records if key[0] == name]:
            del self.records[key]

    def count(self, name, kind="A") -> int:
        """How often somebody asked for it."""
        return sum(asked[:2] == (name, kind) for asked in self.asked)

    def clean_up(self):
        """Answer no more."""
        self._stop.close()
        self._thread.join()
        for sock in (self._udp, self._tcp, self._stopped):
            sock.close()

    def _run(self):
        with selectors.DefaultSelector() as selector:
            for sock in (self._udp, self._tcp, self._stopped):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                for key, _events in selector.select():
                    if key.fileobj is self._stopped:
                        return
                    # Who asked may be gone.
                    with contextlib.suppress(OSError):
                        (self._over_udp if key.fileobj is self._udp else self._over_tcp)()

    def _over_udp(self):
        data, sender = self._udp.recvfrom(4096)
        query = dns.message.from_wire(data)
        name = self._note(query, "udp")
        if name in self.silent:
            return
        if name in self.forged:
            self._forge(query, sender)
        answer = self.answer(query)
        if name in self.truncated or len(answer.to_wire(max_size=65_535)) > MOST_OVER_UDP:
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.TC
        self._udp.sendto(self.spoil(answer.to_wire()), sender)

    def _over_tcp(self):
        connection, _sender = self._tcp.accept()
        with connection:
            connection.settimeout(5)
            (size,) = struct.unpack("!H", _exactly(connection, 2))
            query = dns.message.from_wire(_exactly(connection, size))
            if self._note(query, "tcp") in self.silent:
                return
            data = self.spoil(self.answer(query).to_wire(max_size=65_535))
            connection.sendall(struct.pack("!H", len(data)) + data)

    def _note(self, query, how):
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        self.asked.append((name, dns.rdatatype.to_text(question.rdtype), how))
        return name

    def answer(self, query):
        """The honest answer to a query."""
        answer = dns.message.make_response(query, recursion_available=True)
        (question,) = query.question
        name, kind = question.name, dns.rdatatype.to_text(question.rdtype)
        text = name.to_text(omit_final_dot=True).lower()
        if text in self.rcodes:
            answer.set_rcode(self.rcodes[text])
            return answer
        for _ in range(CHAIN):
            aliases = self.records.get((text, "CNAME"))
            if not aliases or kind == "CNAME":
                break
            answer.answer.append(dns.rrset.from_text(name, self.ttl, "IN", "CNAME", *aliases))
            name = dns.name.from_text(aliases[0])
            text = name.to_text(omit_final_dot=True).lower()
        values = self.records.get((text, kind))
        if values:
            answer.answer.append(dns.rrset.from_text(name, self.ttl, "IN", kind, *values))
            return answer
        if not any(known == text for known, _kind in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        soa = f"ns.test. root.test. 1 1 1 1 {self.ttl}"
        answer.authority.append(dns.rrset.from_text("test.", self.ttl, "IN", "SOA", soa))
        return answer

    def _forge(self, query, sender):
        """Answers that differ from an honest one in their id, their question, or their sender."""
        (question,) = query.question
        forged = dns.message.make_response(query)
        forged.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", FORGED))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(forged.to_wire(), sender)
        forged.id ^= 1
        self._udp.sendto(forged.to_wire(), sender)
        other = dns.message.make_query("other.test.", question.rdtype)
        other.id = query.id
        forged = dns.message.make_response(other)
        forged.answer.append(dns.rrset.from_text("other.test.", 60, "IN", "A", FORGED))
        self._udp.sendto(forged.to_wire(), sender)
        self._udp.sendto(b"\x00\x01", sender)


def _sockets():
    """A UDP and a TCP socket on one port that is free for both."""
    while True:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((LOCAL, 0))
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind((LOCAL, udp.getsockname()[1]))
        except OSError as error:
            udp.close()
            tcp.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            tcp.listen()
            return udp, tcp


def _exactly(connection, size) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise OSError("cut off")
        data += more
    return data
