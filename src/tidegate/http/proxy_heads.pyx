"""Heads on their way through a location, written in one pass: of requests, and of a 101.

A request: nginx's fields in nginx's order. First those of `proxy_set_header` (with Host and
Connection where these are not among them), then the length of the body, then what the client sent,
but for the fields that were set and those that are only between two neighbours.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcpy
from libc.time cimport time, time_t

from tidegate.wire.head cimport Fields, Place, RequestHead, ResponseHead, same_name

from tidegate.http.answers import http_date, server_name
from tidegate.http.uri import escape
from tidegate.variables.values import encode
from tidegate.wire.fields import escape_controls, one_line

cdef enum:
    # Nearly every head has room in it.
    FIRST_ROOM = 1024

# What a client says to us alone.
BETWEEN_NEIGHBOURS = frozenset(
    {
        b"host",
        b"connection",
        b"content-length",
        b"transfer-encoding",
        b"te",
        b"keep-alive",
        b"expect",
        b"upgrade",
    }
)
# What a node says to us alone, in a 101.
OF_THE_NODE = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"transfer-encoding",
        b"content-length",
        b"proxy-connection",
    }
)
# Where a 101 has one of these, it is written as other answers are.
OF_OTHERS = frozenset({b"server", b"date", b"content-type", b"location", b"refresh"})

# No field has such a name.
HOST = b":host"
cdef bytes HOST_NAME = HOST
cdef bytes LENGTH = b"content-length"
cdef const char *EXTENSIONS = b"sec-websocket-extensions"
cdef const char *PROTOCOL = b"sec-websocket-protocol"

# The Date field of this second.
cdef time_t dated = -1
cdef bytes date_field = b""


cdef struct Text:
    char *data
    size_t size
    size_t room


cdef int put(Text *text, const char *data, size_t size) except -1:
    cdef char *more
    if text.size + size > text.room:
        more = <char *>realloc(text.data, (text.size + size) * 2)
        if more is NULL:
            raise MemoryError
        text.data = more
        text.room = (text.size + size) * 2
    memcpy(text.data + text.size, data, size)
    text.size += size
    return 0


cdef inline int put_bytes(Text *text, bytes data) except -1:
    return put(text, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef int put_field(Text *text, Fields fields, unsigned int at) except -1:
    """A field as it came."""
    cdef Place *place = &fields.places[at]
    cdef const char *data = PyBytes_AS_STRING(fields.data)
    put(text, data + place.name, place.name_size)
    put(text, b": ", 2)
    put(text, data + place.value, place.value_size)
    return put(text, b"\r\n", 2)


cdef class Known:
    """Names in small letters, to be found without making objects."""

    cdef tuple names

    def __cinit__(self, names):
        self.names = tuple(names)

    cdef bint has(self, const char *name, size_t size) noexcept:
        cdef bytes one
        for one in self.names:
            if <size_t>PyBytes_GET_SIZE(one) == size and same_name(
                name, PyBytes_AS_STRING(one), size
            ):
                return True
        return False


cdef class Slot:
    """A `proxy_set_header`: a `line` that is always the same, the client's `field`, or a `text`."""

    cdef bytes line
    cdef bytes name
    cdef bytes field
    cdef object text


cdef Slot slot_of(str name, text, str constant, bytes field):
    cdef Slot slot = Slot.__new__(Slot)
    slot.name = encode(name) + b": "
    slot.field = field
    slot.text = text
    if constant is not None:
        value = encode(constant)
        slot.line = slot.name + one_line(value) + b"\r\n" if value else b""
    return slot


cdef class RequestWriter:
    """Writes the heads for one `proxy_pass`."""

    cdef bytes version
    cdef list slots
    cdef Known replaced
    cdef bint sets_length
    cdef object own_uri
    cdef bint whole_uri
    cdef bint passes_headers
    cdef readonly bint passes_body

    def __init__(
        self,
        *,
        str version not None,
        fields,
        uri,
        bint whole_uri,
        bint pass_headers,
        bint pass_body,
    ):
        self.version = version.encode()
        self.slots = [slot_of(one[0], one[1], one[2], one[3]) for one in fields]
        names = frozenset(encode(one[0]).lower() for one in fields)
        self.replaced = Known(names | BETWEEN_NEIGHBOURS)
        self.sets_length = LENGTH in names
        self.own_uri = uri
        self.whole_uri = whole_uri
        self.passes_headers = pass_headers
        self.passes_body = pass_body

    cdef bytes uri(self, session, request, RequestHead head):
        """What is asked of the node."""
        cdef bytes begin, rest
        target = request.target_uri
        if target:
            text = "" if self.own_uri is None else self.own_uri(session)
            return escape_controls(encode(target + text))
        if self.own_uri is None:
            if not request.internal:
                # Of a plain target nothing is to be escaped.
                return head.target if head.path is not None else escape_controls(request.uri.raw)
            return escape_controls(with_args(escape(request.path), request.args))
        begin = encode(self.own_uri(session))
        if self.whole_uri and begin:
            return escape_controls(begin)
        rest = request.path[session.location.uri_prefix :]
        if request.internal or request.uri.quoted:
            rest = escape(rest)
        return escape_controls(with_args(begin + rest, request.args))

    def head(self, session, request):
        cdef RequestHead head = request.head
        cdef bytes uri = self.uri(session, request, head)
        cdef Text text
        request.sent_uri = uri
        text.data = <char *>malloc(FIRST_ROOM)
        text.room = FIRST_ROOM
        text.size = 0
        if text.data is NULL:
            raise MemoryError
        try:
            put_bytes(&text, head.method)
            put(&text, b" ", 1)
            put_bytes(&text, uri)
            put(&text, b" HTTP/", 6)
            put_bytes(&text, self.version if head.minor else b"1.0")
            put(&text, b"\r\n", 2)
            self.put_slots(&text, session, request, head.fields)
            self.put_length(&text, request, head)
            if self.passes_headers:
                self.put_others(&text, head.fields)
            put(&text, b"\r\n", 2)
            return PyBytes_FromStringAndSize(text.data, text.size)
        finally:
            free(text.data)

    cdef int put_slots(self, Text *text, session, request, Fields fields) except -1:
        cdef Slot slot
        cdef bytes value
        for slot in self.slots:
            if slot.line is not None:
                put_bytes(text, slot.line)
                continue
            if slot.field is HOST_NAME:
                value = request.host
                if value is None:
                    value = encode(slot.text(session))
            elif slot.field is not None:
                value = fields.joined(
                    PyBytes_AS_STRING(slot.field), PyBytes_GET_SIZE(slot.field)
                )
                if value is None and memchr(
                    PyBytes_AS_STRING(slot.field), c"-", PyBytes_GET_SIZE(slot.field)
                ) is not NULL:
                    value = encode(slot.text(session))  # its name may be written with "_"
            else:
                value = encode(slot.text(session))
            if value:
                put_bytes(text, slot.name)
                put_bytes(text, one_line(value))
                put(text, b"\r\n", 2)
        return 0

    cdef int put_length(self, Text *text, request, RequestHead head) except -1:
        if not self.passes_body or self.sets_length:
            return 0
        length = len(request.body) if head.chunked else head.length
        if length is not None:
            put_bytes(text, b"Content-Length: %d\r\n" % length)
        return 0

    cdef int put_others(self, Text *text, Fields fields) except -1:
        cdef unsigned int at
        cdef const char *data = PyBytes_AS_STRING(fields.data)
        for at in range(fields.count):
            if not self.replaced.has(data + fields.places[at].name, fields.places[at].name_size):
                put_field(text, fields, at)
        return 0


cdef bytes with_args(bytes path, args):
    return path if args is None else path + b"?" + args


cdef class SwitchWriter:
    """Writes the head of a node's 101 for the client."""

    cdef bytes server
    cdef Known left_out
    cdef Known others

    def __init__(self, *, hidden, bint tokens):
        # Content-Type has a place of its own, hidden or not.
        hidden = frozenset(hidden) - {b"content-type"}
        self.server = b"Server: " + server_name(tokens=tokens).encode() + b"\r\n"
        self.left_out = Known(hidden | OF_THE_NODE)
        self.others = Known(OF_OTHERS - hidden)

    def head(self, ResponseHead head not None):
        cdef Fields fields = head.fields
        cdef const char *data = PyBytes_AS_STRING(fields.data)
        cdef Place *place
        cdef Text text
        cdef unsigned int at
        text.data = <char *>malloc(FIRST_ROOM)
        text.room = FIRST_ROOM
        text.size = 0
        if text.data is NULL:
            raise MemoryError
        try:
            put(&text, b"HTTP/1.1 ", 9)
            put_bytes(&text, head.line)
            put(&text, b"\r\n", 2)
            put_bytes(&text, self.server)
            put_bytes(&text, date_of_now())
            put(&text, b"Connection: upgrade\r\n", 21)
            for at in range(fields.count):
                place = &fields.places[at]
                if self.left_out.has(data + place.name, place.name_size):
                    continue
                if self.others.has(data + place.name, place.name_size):
                    return None
                put_field(&text, fields, at)
            put(&text, b"\r\n", 2)
            return PyBytes_FromStringAndSize(text.data, text.size)
        finally:
            free(text.data)

    def is_mqtt(self, ResponseHead head not None):
        cdef Fields fields = head.fields
        if not self.passes(fields, b"upgrade", 7):
            return False
        if self.passes(fields, EXTENSIONS, 24) and fields.joined(EXTENSIONS, 24):
            return False
        return self.passes(fields, PROTOCOL, 22) and (
            fields.has_word(PROTOCOL, 22, b"mqtt", 4)
            or fields.has_word(PROTOCOL, 22, b"mqttv3.1", 8)
        )

    cdef bint passes(self, Fields fields, const char *name, size_t size) noexcept:
        return fields.find(name, size, 0) >= 0 and not self.left_out.has(name, size)


cdef bytes date_of_now():
    global dated, date_field
    cdef time_t now = time(NULL)
    if now != dated:
        date_field = b"Date: " + http_date(now).encode() + b"\r\n"
        dated = now
    return date_field
