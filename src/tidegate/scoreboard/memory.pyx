"""Memory of a fixed size, behind a descriptor that other processes can be handed."""

from posix.mman cimport MAP_FAILED, MAP_NORESERVE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

import fcntl
import os

cdef int SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


cdef class Memory:
    """One sparse memfd, mapped once and never grown.

    `size` is in bytes; `fd` is the memfd where it was made, -1 in who joined. What lies in it is
    for those that are made of this to say, and `what` that is, in errors.
    """

    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        if self.base is not NULL:
            munmap(self.base, self.size)
        if self.fd >= 0:
            os.close(self.fd)

    cdef int make(self, str what, size_t size) except -1:
        """Have new memory, all zeros."""
        self.size = size
        self.fd = os.memfd_create(f"tidegate-{what}", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, SEALS)
        return self.map_memory(self.fd, what)

    cdef int join(self, int fd, str what, size_t least, size_t most) except -1:
        """Have the memory behind `fd`, which is not kept; ValueError if it cannot be `what`."""
        try:
            seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        except OSError as error:
            raise ValueError(f"descriptor {fd} is no {what}: {error.strerror}") from error
        self.size = os.fstat(fd).st_size
        # Without the seals another process could cut the file and each access would be a SIGBUS.
        if seals & SEALS != SEALS or not least <= self.size <= most:
            raise ValueError(f"descriptor {fd} is no {what}: {self.size} bytes, seals {seals:#x}")
        return self.map_memory(fd, what)

    cdef int map_memory(self, int fd, str what) except -1:
        cdef void *memory = mmap(
            NULL, self.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0
        )
        if memory == MAP_FAILED:
            raise MemoryError(f"no address space for the {self.size} bytes of the {what}")
        self.base = <char *> memory
        return 0
