"""Heads of HTTP messages, and the reader of those that are as plain as nearly all are.

llhttp judges heads (`request_head.py`, `response_head.py`). What is here only recognises those of
which nothing is in doubt: a GET, or a response without a body, in visible ASCII, each line ended by
CR LF, each name of letters, digits and "-". Whatever else it meets it leaves to llhttp, so it
refuses nothing; that it never reads anything else than llhttp does is tested.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy

cdef enum:
    # More fields, or bytes, are for llhttp.
    MOST_FIELDS = 64
    MOST_BYTES = 1 << 20

    IN_NAME = 1  # letters, digits, "-"
    IN_VALUE = 2  # visible ASCII, space, tab
    IN_TARGET = 4  # visible ASCII but "#"
    IN_HOST = 8  # what `host_of` of http leaves as it is, but for capitals

    SWITCHING = 101
    NO_CONTENT = 204
    NOT_MODIFIED = 304
    LEAST_STATUS = 100
    FINAL = 200

cdef unsigned char[256] KINDS
cdef bytes GET = b"GET"


cdef void learn_kinds() noexcept:
    cdef int one
    for one in range(256):
        KINDS[one] = 0
        if 0x20 <= one <= 0x7E or one == c"\t":
            KINDS[one] = IN_VALUE
        if 0x21 <= one <= 0x7E and one != c"#":
            KINDS[one] |= IN_TARGET
        if c"a" <= one <= c"z" or c"A" <= one <= c"Z" or c"0" <= one <= c"9" or one == c"-":
            KINDS[one] |= IN_NAME | IN_HOST
        if one == c"." or one == c"_":
            KINDS[one] |= IN_HOST


learn_kinds()


cdef inline unsigned char lower(unsigned char one) noexcept nogil:
    return one | 0x20 if c"A" <= one <= c"Z" else one


cdef bint same_name(const char *one, const char *lowered, size_t size) noexcept nogil:
    """Whether a name is `lowered`, which is in small letters."""
    cdef size_t at
    for at in range(size):
        if lower(<unsigned char>one[at]) != <unsigned char>lowered[at]:
            return False
    return True


cdef inline bint is_space(unsigned char one) noexcept nogil:
    """As `bytes.strip` has it."""
    return one == c" " or 0x09 <= one <= 0x0D


cdef class Fields:
    def __init__(self, pairs=()):
        cdef unsigned int at = 0, number = 0
        cdef bytes name, value
        self.room_for(len(pairs))
        self.data = b"".join([part for pair in pairs for part in pair])
        for name, value in pairs:
            self.places[number].name = at
            self.places[number].name_size = <unsigned int>len(name)
            at += <unsigned int>len(name)
            self.places[number].value = at
            self.places[number].value_size = <unsigned int>len(value)
            at += <unsigned int>len(value)
            number += 1
        self.count = number

    def __dealloc__(self):
        free(self.places)

    cdef int room_for(self, unsigned int count) except -1:
        cdef Place *places = <Place *>realloc(self.places, max(count, 1) * sizeof(Place))
        if places is NULL:
            raise MemoryError
        self.places = places
        return 0

    def __iter__(self):
        cdef unsigned int at
        found = []
        for at in range(self.count):
            found.append((self.name_at(at), self.value_at(at)))
        return iter(found)

    def __contains__(self, bytes name not None):
        return self.find(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), 0) >= 0

    def get(self, bytes name not None, default=None):
        found = self.joined(PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        return default if found is None else found

    def all(self, bytes name not None):
        cdef const char *text = PyBytes_AS_STRING(name)
        cdef size_t size = PyBytes_GET_SIZE(name)
        cdef int at = self.find(text, size, 0)
        found = []
        while at >= 0:
            found.append(self.value_at(at))
            at = self.find(text, size, at + 1)
        return found

    cdef bytes name_at(self, unsigned int at):
        cdef Place *place = &self.places[at]
        return PyBytes_FromStringAndSize(
            PyBytes_AS_STRING(self.data) + place.name, place.name_size
        )

    cdef bytes value_at(self, unsigned int at):
        cdef Place *place = &self.places[at]
        return PyBytes_FromStringAndSize(
            PyBytes_AS_STRING(self.data) + place.value, place.value_size
        )

    cdef int find(self, const char *name, size_t size, int after) noexcept:
        """The first field of a name in small letters that is not before `after`; -1 for none."""
        cdef const char *text = PyBytes_AS_STRING(self.data)
        cdef int at
        for at in range(after, <int>self.count):
            if self.places[at].name_size == size and same_name(
                text + self.places[at].name, name, size
            ):
                return at
        return -1

    cdef bint has_word(
        self, const char *name, size_t size, const char *word, size_t length
    ) noexcept:
        """Whether a word, in small letters, is in the list that fields of a name are."""
        cdef const char *at
        cdef const char *end
        cdef const char *stop
        cdef int number = self.find(name, size, 0)
        while number >= 0:
            at = PyBytes_AS_STRING(self.data) + self.places[number].value
            end = at + self.places[number].value_size
            while at <= end:
                stop = <const char *>memchr(at, c",", end - at)
                if stop is NULL:
                    stop = end
                if is_word(at, stop, word, length):
                    return True
                at = stop + 1
            number = self.find(name, size, number + 1)
        return False

    cdef bytes joined(self, const char *name, size_t size):
        """The value of the fields of a name, None where there are none."""
        cdef int at = self.find(name, size, 0)
        cdef int other
        if at < 0:
            return None
        other = self.find(name, size, at + 1)
        if other < 0:
            return self.value_at(at)
        values = [self.value_at(at)]
        while other >= 0:
            values.append(self.value_at(other))
            other = self.find(name, size, other + 1)
        return b", ".join(values)


cdef bint is_word(
    const char *at, const char *end, const char *word, size_t length
) noexcept nogil:
    while at < end and is_space(at[0]):
        at += 1
    while at < end and is_space((end - 1)[0]):
        end -= 1
    return <size_t>(end - at) == length and same_name(at, word, length)


cdef class RequestHead:
    def __init__(
        self,
        *,
        bytes line not None,
        bytes method not None,
        bytes target not None,
        int minor,
        Fields fields not None,
        length,
        bint chunked,
        bytes host,
        unsigned int size,
    ):
        self.line = line
        self.method = method
        self.target = target
        self.minor = minor
        self.fields = fields
        self.length = length
        self.chunked = chunked
        self.host = host
        self.size = size

    @property
    def raw(self):
        return self.target

    @property
    def quoted(self):
        return False

    @property
    def authority(self):
        return None

    @property
    def has_body(self):
        return self.chunked or (self.length is not None and self.length > 0)

    @property
    def keep_alive(self):
        if self.fields.has_word(b"connection", 10, b"close", 5):
            return False
        return self.minor > 0 or self.fields.has_word(b"connection", 10, b"keep-alive", 10)

    @property
    def upgrades(self):
        return self.fields.find(b"upgrade", 7, 0) >= 0 and self.fields.has_word(
            b"connection", 10, b"upgrade", 7
        )

    @property
    def expects_continue(self):
        return self.minor > 0 and self.fields.get(b"expect", b"").lower() == b"100-continue"


cdef class ResponseHead:
    def __init__(
        self,
        *,
        int status,
        bytes line not None,
        int minor,
        Fields fields not None,
        length,
        bint chunked,
        unsigned int size,
    ):
        self.status = status
        self.line = line
        self.minor = minor
        self.fields = fields
        self.length = length
        self.chunked = chunked
        self.size = size

    @property
    def interim(self):
        return self.status < FINAL and self.status != SWITCHING

    @property
    def bodiless(self):
        return self.status == NO_CONTENT or self.status == NOT_MODIFIED


def plain_request(bytes data not None, unsigned int line, unsigned int most):
    """A request's head at the beginning of `data`, where it is plain and whole; else None.

    `line` and `most` as in `read_request_head`.
    """
    cdef const unsigned char *text = <const unsigned char *>PyBytes_AS_STRING(data)
    cdef size_t size = PyBytes_GET_SIZE(data)
    cdef size_t end, first
    cdef Fields fields
    cdef RequestHead head
    cdef int host
    if size > MOST_BYTES or size < 5 or memcmp(text, b"GET /", 5) != 0:
        return None
    end = 5
    # A bytes object ends with a zero byte, which is of no kind.
    while KINDS[text[end]] & IN_TARGET:
        end += 1
    first = end + 9
    if size < first + 2 or memcmp(text + end, b" HTTP/1.1\r\n", 11) != 0 or first > line:
        return None
    fields = Fields.__new__(Fields)
    size = read_fields(fields, data, first + 2, line)
    if size == 0 or size > most:
        return None
    host = fields.find(b"host", 4, 0)
    if host < 0 or fields.find(b"host", 4, host + 1) >= 0:
        return None
    head = RequestHead.__new__(RequestHead)
    head.line = data[:first]
    head.method = GET
    head.target = data[4:end]
    head.minor = 1
    head.fields = fields
    head.host = fields.value_at(host)
    head.size = <unsigned int>size
    take_path(head)
    take_host(head)
    return head


def plain_response(bytes data not None):
    """A response's head at the beginning of `data`, where it is plain and whole; else None."""
    cdef const unsigned char *text = <const unsigned char *>PyBytes_AS_STRING(data)
    cdef size_t size = PyBytes_GET_SIZE(data)
    cdef size_t end = 12
    cdef int at, status = 0
    cdef Fields fields
    cdef ResponseHead head
    if size > MOST_BYTES or size < 14 or memcmp(text, b"HTTP/1.1 ", 9) != 0:
        return None
    for at in range(9, 12):
        if not c"0" <= text[at] <= c"9":
            return None
        status = status * 10 + text[at] - c"0"
    if status < LEAST_STATUS or (text[12] != c" " and text[12] != c"\r"):
        return None
    while KINDS[text[end]] & IN_VALUE:
        end += 1
    if text[end] != c"\r" or text[end + 1] != c"\n":
        return None
    fields = Fields.__new__(Fields)
    size = read_fields(fields, data, end + 2, MOST_BYTES)
    if size == 0:
        return None
    head = ResponseHead.__new__(ResponseHead)
    head.status = status
    head.line = data[9:end]
    head.minor = 1
    head.fields = fields
    head.size = <unsigned int>size
    return head


cdef size_t read_fields(Fields fields, bytes data, size_t at, size_t line) except? 0:
    """Read fields from `at` on to the empty line; 0 where they are not plain, or not all there.

    Returns how many bytes the head has. A body's length is for llhttp.
    """
    cdef const unsigned char *text = <const unsigned char *>PyBytes_AS_STRING(data)
    cdef Place[MOST_FIELDS] places
    cdef Place *place
    cdef size_t begin, end
    cdef unsigned int count = 0
    while text[at] != c"\r":
        if count == MOST_FIELDS:
            return 0
        place = &places[count]
        begin = at
        while KINDS[text[at]] & IN_NAME:
            at += 1
        if at == begin or text[at] != c":":
            return 0
        place.name = <unsigned int>begin
        place.name_size = <unsigned int>(at - begin)
        if tells_length(<const char *>text + begin, at - begin):
            return 0
        at += 1
        while text[at] == c" " or text[at] == c"\t":
            at += 1
        place.value = <unsigned int>at
        while KINDS[text[at]] & IN_VALUE:
            at += 1
        if text[at] != c"\r" or text[at + 1] != c"\n" or at - begin > line:
            return 0
        end = at
        while end > place.value and (text[end - 1] == c" " or text[end - 1] == c"\t"):
            end -= 1
        place.value_size = <unsigned int>end - place.value
        count += 1
        at += 2
    if text[at + 1] != c"\n":
        return 0
    fields.room_for(count)
    memcpy(fields.places, places, count * sizeof(Place))
    fields.count = count
    fields.data = data[: at + 2]
    return at + 2


cdef bint tells_length(const char *name, size_t size) noexcept nogil:
    return (size == 14 and same_name(name, b"content-length", 14)) or (
        size == 17 and same_name(name, b"transfer-encoding", 17)
    )


cdef int take_path(RequestHead head) except -1:
    """Path and arguments of the target, where nothing is to be decoded or put in order."""
    cdef const char *text = PyBytes_AS_STRING(head.target)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(head.target)
    cdef const char *mark = <const char *>memchr(text, c"?", size)
    cdef Py_ssize_t end = size if mark is NULL else mark - text
    cdef Py_ssize_t at
    for at in range(end):
        if text[at] == c"%":
            return 0
        if text[at] == c"/" and (text[at + 1] == c"/" or text[at + 1] == c"."):
            return 0
    head.path = head.target if mark is NULL else head.target[:end]
    head.args = None if mark is NULL else head.target[end + 1 :]
    return 0


cdef int take_host(RequestHead head) except -1:
    """The host in small letters without its port, where it is nothing else than that."""
    cdef const unsigned char *text = <const unsigned char *>PyBytes_AS_STRING(head.host)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(head.host)
    cdef Py_ssize_t at, end = 0
    cdef bytes name
    cdef char *copy
    while KINDS[text[end]] & IN_HOST:
        if text[end] == c"." and text[end + 1] == c".":
            return 0
        end += 1
    if end == 0 or text[end - 1] == c".":
        return 0
    if end < size:
        if text[end] != c":":
            return 0
        for at in range(end + 1, size):
            if not c"0" <= text[at] <= c"9":
                return 0
    name = PyBytes_FromStringAndSize(NULL, end)
    copy = PyBytes_AS_STRING(name)
    for at in range(end):
        copy[at] = lower(text[at])
    head.host_name = name
    return 0
