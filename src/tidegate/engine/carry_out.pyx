"""What Python decided is carried out: each outcome has its function."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove

from tidegate.engine.ends cimport call, leave_upstream
from tidegate.engine.exchange cimport SHOW, drop_exchange, drop_first, exchange_of, meter, tap
from tidegate.engine.linux cimport sockaddr
from tidegate.engine.listener cimport leave_listener
from tidegate.engine.outcome cimport (
    Accept,
    Connect,
    Framing,
    Later,
    Need,
    Pass,
    Refuse,
    Relay,
    Say,
    Tell,
    drop_terms,
)
from tidegate.engine.pending cimport pending_of
from tidegate.engine.session cimport arrive, preread, proceed, refuse, say
from tidegate.engine.turn cimport use_tls
from tidegate.engine.types cimport (
    CALL_OVERHEAR,
    CLIENT,
    DECIDING,
    UPSTREAM,
    UPSTREAM_CLOSED,
    Core,
    Exchange,
    Frames,
    Pending,
    Session,
)
from tidegate.engine.upstream cimport (
    accept_answer,
    connect_upstream,
    fail_try,
    give,
    inspect,
    patience,
)


cdef enum:
    BINARY_FRAME = 2


cdef carry_out(Core *core, Session *s, outcome):
    """Carry out what Python decided."""
    cdef Connect plan
    if s.state != DECIDING:
        return
    s.later = False
    if outcome is None and s.arriving:
        proceed(core, s)
        leave_listener(core, s)
    elif isinstance(outcome, Connect):
        plan = <Connect>outcome
        go(core, s, plan)
    elif isinstance(outcome, Accept):
        accept(core, s, <Accept>outcome)
    elif isinstance(outcome, Refuse):
        s.status = (<Refuse>outcome).status
        data = (<Refuse>outcome).data
        refuse(core, s, PyBytes_AS_STRING(data), <uint32_t>PyBytes_GET_SIZE(data))
    elif isinstance(outcome, Need):
        read_more(core, s, <Need>outcome)
    elif isinstance(outcome, Say):
        talk(core, s, <Say>outcome)
    elif isinstance(outcome, Pass):
        pass_on(core, s, <Pass>outcome)
    elif isinstance(outcome, Tell):
        tell(core, s, <Tell>outcome)
    elif isinstance(outcome, Later):
        s.later = True
    else:
        raise TypeError(f"no outcome of a decision: {outcome!r}")


cdef become(Session *s, session):
    """Let this be the Python half from here on."""
    cdef object before = <object>s.owner
    Py_INCREF(session)
    s.owner = <PyObject *>session
    Py_DECREF(before)


cdef pass_on(Core *core, Session *s, Pass outcome):
    """Begin again at another server, with what was preread."""
    cdef uint32_t kept = s.preread.end if s.preread is not NULL else 0
    cdef bint opened = s.ends[CLIENT].ssl is not NULL
    if s.arriving or s.exchange is not NULL or s.ends[UPSTREAM].fd >= 0:
        raise ValueError("only what was not answered yet can be passed on")
    if opened and outcome.tls is not None:
        raise ValueError("there is no TLS inside of TLS")
    if outcome.header_timeout_ms and (kept or opened):
        raise ValueError("a PROXY header is the first that a client says")
    if outcome.release is not None:
        keep_release(s, outcome.release)
    become(s, outcome.session)
    s.error = 0
    s.preread_size = max(outcome.preread_size, kept) if outcome.preread_size else 0
    s.preread_ms = outcome.preread_timeout_ms
    s.idle_counts = outcome.idle_counts
    if outcome.tls is not None:
        use_tls(core)
        s.tls = outcome.tls.tls
        s.tls.refs += 1
        s.ends[CLIENT].replays = kept > 0
        # Of TLS that ends here what is inside counts.
        s.ends[CLIENT].received -= kept
    arrive(core, s, outcome.header_timeout_ms, outcome.asks_accept)


cdef keep_release(Session *s, release):
    cdef list releases
    if s.releases is NULL:
        releases = []
        Py_INCREF(releases)
        s.releases = <PyObject *>releases
    (<list>s.releases).append(release)


cdef go(Core *core, Session *s, Connect plan):
    cdef int error
    if s.exchange is not NULL and s.exchange.streamed and plan.upload != 0:
        raise ValueError("what the client sent went to another upstream, and is not kept")
    leave_upstream(core, s)
    set_first(s, plan)
    set_terms(s, plan.relay)
    meter(s)
    s.notify = plan.notify
    s.hears = plan.hears
    s.until = core.now + plan.timeout_ms
    s.answer_size = plan.answer_size
    s.answer_ms = plan.answer_ms
    s.idle_ms = plan.idle_ms
    if plan.tls is not None:
        use_tls(core)
        plan.tls.begin(&s.ends[UPSTREAM])
        s.tls = plan.tls.context.tls
        s.tls.refs += 1
        if s.first is not NULL:
            s.first.start = plan.plain
    error = connect_upstream(
        core,
        s,
        <sockaddr *>PyBytes_AS_STRING(plan.address),
        <uint32_t>PyBytes_GET_SIZE(plan.address),
        <sockaddr *>PyBytes_AS_STRING(plan.local),
        <uint32_t>PyBytes_GET_SIZE(plan.local),
        plan.keepalive,
        plan.transparent,
    )
    if error:
        fail_try(core, s, error)


cdef set_first(Session *s, Connect plan):
    """Lay out what the upstream gets first, and what may have to wait for its answer."""
    cdef uint32_t header = <uint32_t>PyBytes_GET_SIZE(plan.first)
    cdef uint32_t kept = s.preread.end if s.preread is not NULL else 0
    if plan.take > kept:
        raise ValueError(f"cannot replace {plan.take} of {kept} bytes")
    kept -= plan.take
    if plan.upload >= 0:
        kept = set_bound(s, plan, kept)
    elif s.exchange is not NULL:
        s.exchange.left[CLIENT] = s.exchange.left[UPSTREAM] = -1
        s.exchange.streams = s.exchange.again = False
    if plan.answer_size and kept and plan.upload < 0:
        s.rest = pending_of(s.preread.data + plan.take, kept)
        if s.rest is NULL:
            raise MemoryError
        kept = 0
    if header + kept == 0:
        return
    s.first = pending_of(PyBytes_AS_STRING(plan.first), header, kept)
    if s.first is NULL:
        raise MemoryError
    if kept:
        memcpy(s.first.data + header, s.preread.data + plan.take, kept)


cdef Exchange *need_exchange(Session *s) except NULL:
    cdef Exchange *x = exchange_of(s)
    if x is NULL:
        raise MemoryError
    return x


cdef uint32_t set_bound(Session *s, Connect plan, uint32_t kept) except? 0xFFFFFFFF:
    """How many of the `kept` bytes of the client belong to this request; others may come."""
    cdef Exchange *x = need_exchange(s)
    if kept > plan.upload:
        kept = <uint32_t>plan.upload
    x.left[CLIENT] = plan.upload - kept
    x.left[UPSTREAM] = -1
    x.consumed = plan.take + kept
    x.body_ms = plan.body_ms
    x.streams = plan.answer_size != 0
    x.again = False
    return kept


cdef accept(Core *core, Session *s, Accept outcome):
    cdef uint32_t size = <uint32_t>PyBytes_GET_SIZE(outcome.data)
    cdef uint32_t kept = s.answer.end if s.answer is not NULL else 0
    cdef Pending *answer
    if not s.answer_size or outcome.take > kept:
        raise ValueError("there is no such answer to accept")
    if outcome.download >= 0 or outcome.again or outcome.uploads or outcome.tap:
        kept = bound_answer(core, s, outcome, kept)
    if outcome.framing is not None:
        if kept > outcome.take:
            raise ValueError("of an answer that goes out in frames all is taken")
        set_frames(s, outcome.framing)
    if size == 0 and kept == outcome.take:
        free(s.answer)
        s.answer = NULL
    elif size or outcome.take:
        kept -= outcome.take
        answer = pending_of(PyBytes_AS_STRING(outcome.data), size, kept)
        if answer is NULL:
            raise MemoryError
        memcpy(answer.data + size, s.answer.data + outcome.take, kept)
        free(s.answer)
        s.answer = answer
    if outcome.idle_ms >= 0:
        s.idle_ms = outcome.idle_ms
    set_terms(s, outcome.relay)
    settle(s)
    accept_answer(core, s)


cdef uint32_t bound_answer(
    Core *core, Session *s, Accept outcome, uint32_t kept
) except? 0xFFFFFFFF:
    """Set how far the answer goes, and the request; how many bytes of the answer count."""
    cdef Exchange *x = need_exchange(s)
    x.again = outcome.again
    x.left[UPSTREAM] = outcome.download
    if outcome.download >= 0:
        if kept - outcome.take > outcome.download:
            kept = outcome.take + <uint32_t>outcome.download
            s.answer.end = kept
        x.left[UPSTREAM] -= kept - outcome.take
    if x.left[UPSTREAM] == 0:
        s.ends[UPSTREAM].ended = s.reasoned = True
        s.reason = UPSTREAM_CLOSED
    drop_first(s, x.consumed)
    x.consumed = 0
    x.tap = outcome.tap
    x.tap_need = 1
    if outcome.uploads:
        send_rest(core, s, outcome.upload)
    return kept


cdef set_frames(Session *s, Framing framing):
    """From here on the client speaks WebSocket to us alone."""
    cdef Exchange *x = need_exchange(s)
    cdef Frames *f
    if x.frames is not NULL:
        raise ValueError("the client's frames are taken apart already")
    f = <Frames *>calloc(1, sizeof(Frames))
    if f is NULL:
        raise MemoryError
    x.frames = f
    f.limit = framing.limit
    f.continues = framing.continues
    if framing.remaining:
        f.inside = True
        f.opcode = BINARY_FRAME
        f.final = framing.final
        f.left = f.message = framing.remaining
        memcpy(f.mask, PyBytes_AS_STRING(framing.mask), sizeof(f.mask))


cdef send_rest(Core *core, Session *s, int64_t upload):
    """Let the client send so much more; the upstream gets what was preread of that."""
    cdef Exchange *x = s.exchange
    cdef uint32_t kept = s.preread.end if s.preread is not NULL else 0
    x.left[CLIENT] = upload
    if upload >= 0:
        kept = <uint32_t>min(<int64_t>kept, upload)
        x.left[CLIENT] -= kept
    if kept == 0:
        return
    if tap(s, s.preread.data, kept) & SHOW:
        call(core, s, CALL_OVERHEAR)
    if not give(core, s, s.preread.data, kept):
        raise MemoryError
    drop_first(s, kept)


cdef talk(Core *core, Session *s, Say outcome):
    """Send words to the client, then hear what it has to say next."""
    cdef Exchange *x = need_exchange(s)
    cdef uint32_t kept = s.preread.end if s.preread is not NULL else 0
    cdef uint32_t size = outcome.size if outcome.size else s.preread_size
    if outcome.take > kept or outcome.need > size:
        raise ValueError(
            f"cannot take {outcome.take} of {kept} bytes, or read {outcome.need} of {size}"
        )
    if outcome.session is not None:
        become(s, outcome.session)
    leave_upstream(core, s)
    drop_first(s, outcome.take)
    s.answer_size = 0
    s.preread_size = size
    s.need = outcome.need
    if outcome.timeout_ms > 0:
        s.preread_ms = outcome.timeout_ms
    x.left[CLIENT] = x.left[UPSTREAM] = -1
    x.streams = x.again = False
    x.consumed = 0
    x.streamed = 0
    x.idle = outcome.idle
    x.send_ms = outcome.send_ms
    say(
        core,
        s,
        PyBytes_AS_STRING(outcome.data),
        <uint32_t>PyBytes_GET_SIZE(outcome.data),
    )


cdef tell(Core *core, Session *s, Tell outcome):
    """Send words to the upstream that is to answer, then hear more of its answer."""
    cdef uint32_t kept = s.answer.end if s.answer is not NULL else 0
    if not s.answer_size or s.ends[UPSTREAM].fd < 0 or outcome.take > kept:
        raise ValueError("there is no such answer to take from")
    kept -= outcome.take
    if outcome.need > s.answer_size:
        raise ValueError(f"cannot read {outcome.need} bytes: {s.answer_size} may be")
    if kept:
        memmove(s.answer.data, s.answer.data + outcome.take, kept)
        s.answer.end = kept
    else:
        free(s.answer)
        s.answer = NULL
    if not give(
        core,
        s,
        PyBytes_AS_STRING(outcome.data),
        <uint32_t>PyBytes_GET_SIZE(outcome.data),
    ):
        return
    s.until = core.now + patience(s)
    inspect(core, s, outcome.need)


cdef read_more(Core *core, Session *s, Need outcome):
    if s.answer_size:
        read_more_answer(core, s, outcome)
    else:
        read_more_first(core, s, outcome)


cdef read_more_answer(Core *core, Session *s, Need outcome):
    cdef uint32_t need = outcome.size
    cdef uint32_t have = s.answer.end if s.answer is not NULL else 0
    if s.ends[UPSTREAM].fd < 0:
        raise ValueError("there is no upstream to read from")
    if need <= have or need > s.answer_size or s.ends[UPSTREAM].ended:
        raise ValueError(f"cannot read {need} bytes: {have} are there, {s.answer_size} may be")
    inspect(core, s, need)


cdef read_more_first(Core *core, Session *s, Need outcome):
    cdef uint32_t need = outcome.size
    cdef uint32_t have = s.preread.end if s.preread is not NULL else 0
    if need <= have or need > s.preread_size or s.ends[CLIENT].ended:
        raise ValueError(f"cannot read {need} bytes: {have} are there, {s.preread_size} may be")
    if outcome.timeout_ms > 0:
        s.until = core.now + outcome.timeout_ms
    preread(core, s, need, s.until)


cdef set_terms(Session *s, Relay relay):
    if relay is None:
        return
    relay.terms.refs += 1
    drop_terms(s.terms)
    s.terms = relay.terms


cdef settle(Session *s):
    """What is left to look at in a relay; nothing is, in most."""
    cdef Exchange *x = s.exchange
    if (
        x is not NULL
        and x.left[CLIENT] < 0
        and x.left[UPSTREAM] < 0
        and not x.again
        and x.tap == 0
        and x.frames is NULL
    ):
        drop_exchange(s)
    meter(s)
