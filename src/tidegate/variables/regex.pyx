"""Regular expressions by the PCRE2 library of the system, which is the one that nginx uses.

Any other engine would read some expressions otherwise. The library is opened when the first
expression is compiled, so who has none needs none; its headers are not needed at all. The numbers
below are those of pcre2.h, and are the same in all versions 10.

Bytes are matched, as in nginx: an expression that begins with (*UTF) matches characters.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t

cdef extern from "<dlfcn.h>" nogil:
    void *dlopen(const char *name, int flags)
    void *dlsym(void *library, const char *name)
    int RTLD_NOW
    int RTLD_LOCAL

LIBRARY = "libpcre2-8.so.0"

# Steps that one match may take, some 5 ms; nginx leaves the library its own 10 million. Only an
# expression that backtracks over and over needs so many, and a client may choose what it meets.
MOST_STEPS = 250_000
# Kilobytes for what a match has to come back to.
MOST_MEMORY = 16_384

cdef enum:
    CASELESS = 0x8
    INFO_CAPTURECOUNT = 4
    INFO_NAMECOUNT = 17
    INFO_NAMEENTRYSIZE = 18
    INFO_NAMETABLE = 19
    NOMATCH = -1
    MESSAGE_SIZE = 256

cdef size_t UNSET = <size_t> -1

ctypedef void *(*compile_t)(
    const unsigned char *, size_t, uint32_t, int *, size_t *, void *
) noexcept
ctypedef void *(*create_t)(void *) noexcept
ctypedef void *(*create_data_t)(const void *, void *) noexcept
ctypedef int (*match_t)(
    const void *, const unsigned char *, size_t, size_t, uint32_t, void *, void *
) noexcept
ctypedef size_t *(*ovector_t)(void *) noexcept
ctypedef int (*info_t)(const void *, uint32_t, void *) noexcept
ctypedef int (*message_t)(int, unsigned char *, size_t) noexcept
ctypedef int (*limit_t)(void *, uint32_t) noexcept
ctypedef void (*free_t)(void *) noexcept

cdef struct Library:
    compile_t compile
    create_data_t create_data
    match_t match
    ovector_t ovector
    info_t info
    message_t message
    free_t free_code
    free_t free_data
    void *limits

cdef Library pcre
cdef bint opened = False


class RegexError(ValueError):
    """An expression that cannot be compiled, or matched; in nginx's words."""


class NoLibraryError(RegexError):
    """PCRE2 is not on this machine."""


cdef void *find(void *library, const char *name) except NULL:
    cdef void *symbol = dlsym(library, name)
    if symbol == NULL:
        raise NoLibraryError(f"{LIBRARY} has no {name.decode()}")
    return symbol


cdef int open_library() except -1:
    global opened
    cdef create_t create
    cdef void *library = dlopen(LIBRARY.encode(), RTLD_NOW | RTLD_LOCAL)
    if library == NULL:
        raise NoLibraryError(f"{LIBRARY} was not found")
    pcre.compile = <compile_t> find(library, b"pcre2_compile_8")
    pcre.create_data = <create_data_t> find(library, b"pcre2_match_data_create_from_pattern_8")
    pcre.match = <match_t> find(library, b"pcre2_match_8")
    pcre.ovector = <ovector_t> find(library, b"pcre2_get_ovector_pointer_8")
    pcre.info = <info_t> find(library, b"pcre2_pattern_info_8")
    pcre.message = <message_t> find(library, b"pcre2_get_error_message_8")
    pcre.free_code = <free_t> find(library, b"pcre2_code_free_8")
    pcre.free_data = <free_t> find(library, b"pcre2_match_data_free_8")
    create = <create_t> find(library, b"pcre2_match_context_create_8")
    pcre.limits = create(NULL)
    if pcre.limits == NULL:
        raise MemoryError
    (<limit_t> find(library, b"pcre2_set_match_limit_8"))(pcre.limits, MOST_STEPS)
    (<limit_t> find(library, b"pcre2_set_heap_limit_8"))(pcre.limits, MOST_MEMORY)
    opened = True
    return 0


cdef class Regex:
    """A compiled expression; `groups` counts its groups, `names` are pairs of name and number."""

    cdef void *code
    cdef void *data
    cdef readonly bytes pattern
    cdef readonly int groups
    cdef readonly tuple names

    def __cinit__(self, bytes pattern not None, *, bint caseless=False):
        cdef int error = 0
        cdef size_t offset = 0
        if not opened:
            open_library()
        self.pattern = pattern
        self.code = pcre.compile(
            pattern, len(pattern), CASELESS if caseless else 0, &error, &offset, NULL
        )
        if self.code == NULL:
            raise RegexError(self.fault(error, offset))
        self.data = pcre.create_data(self.code, NULL)
        if self.data == NULL:
            raise MemoryError
        self.groups = self.number(INFO_CAPTURECOUNT)
        self.names = self.named()

    def __dealloc__(self):
        if self.data != NULL:
            pcre.free_data(self.data)
        if self.code != NULL:
            pcre.free_code(self.code)

    cdef str fault(self, int error, size_t offset):
        cdef unsigned char message[MESSAGE_SIZE]
        message[0] = 0
        pcre.message(error, message, MESSAGE_SIZE)
        told = (<char *> message).decode("utf-8", "replace")
        whole = self.pattern.decode("utf-8", "surrogateescape")
        rest = self.pattern[offset:].decode("utf-8", "surrogateescape")
        text = f'pcre2_compile() failed: {told} in "{whole}"'
        return f'{text} at "{rest}"' if rest else text

    cdef int number(self, uint32_t what) noexcept:
        cdef uint32_t value = 0
        pcre.info(self.code, what, &value)
        return <int> value

    cdef tuple named(self):
        cdef const unsigned char *entry = NULL
        cdef int size = self.number(INFO_NAMEENTRYSIZE)
        found = []
        pcre.info(self.code, INFO_NAMETABLE, &entry)
        for _ in range(self.number(INFO_NAMECOUNT)):
            found.append(((<const char *> entry + 2).decode(), entry[0] << 8 | entry[1]))
            entry += size
        return tuple(found)

    def match(self, bytes subject not None):
        """What all of it and each group matched, None for a group that took no part.

        None where the expression does not match. Raises RegexError where that is not to be found
        out within MOST_STEPS.
        """
        cdef int count = pcre.match(self.code, subject, len(subject), 0, 0, self.data, pcre.limits)
        cdef size_t *ends
        if count == NOMATCH:
            return None
        if count < 0:
            raise RegexError(f"pcre2_match() failed: {count}")
        ends = pcre.ovector(self.data)
        return tuple([
            None if ends[2 * n] == UNSET else subject[ends[2 * n]:ends[2 * n + 1]]
            for n in range(self.groups + 1)
        ])
