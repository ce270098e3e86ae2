/* The limit: a TCP relay without any feature, made of the system calls that no relay can spare.
 *
 * One thread, level-triggered epoll, one read and one write per message, one buffer for all. It has
 * no time-outs, no log, no choice of nodes. It is what the others are measured against, not a
 * program to use.
 *
 * Usage: relay PORT TARGET-HOST TARGET-PORT; prints "ready" when it listens on 127.0.0.1:PORT.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, BUFFER = 16384 };

struct session;

struct side {
    struct session *session;
    struct side *other;
    int fd;
    char *waiting; /* what this side did not take yet; the other is not read meanwhile */
    size_t size;
};

struct session {
    struct side client, upstream;
    struct session *next;
    int connecting, dead;
};

static int epoll;
static char buffer[BUFFER];
static struct sockaddr_in target;
static struct session *graveyard; /* freed when all events of the turn are served */

static void want(struct side *side, uint32_t events, int op)
{
    struct epoll_event event = { .events = events, .data.ptr = side };
    epoll_ctl(epoll, op, side->fd, &event);
}

static void finish(struct session *session)
{
    if (session->dead)
        return;
    session->dead = 1;
    close(session->client.fd);
    if (session->upstream.fd >= 0)
        close(session->upstream.fd);
    free(session->client.waiting);
    free(session->upstream.waiting);
    session->next = graveyard;
    graveyard = session;
}

static void accept_all(int listener)
{
    int one = 1;
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct session *session = calloc(1, sizeof *session);
        if (session == NULL)
            abort();
        session->client = (struct side){ session, &session->upstream, fd, NULL, 0 };
        session->upstream = (struct side){ session, &session->client, -1, NULL, 0 };
        session->connecting = 1;
        int up = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        session->upstream.fd = up;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (up < 0) {
            finish(session);
            continue;
        }
        setsockopt(up, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(up, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS)
            finish(session);
        else
            want(&session->upstream, EPOLLOUT, EPOLL_CTL_ADD);
    }
}

static void connected(struct session *session)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(session->upstream.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        finish(session);
        return;
    }
    session->connecting = 0;
    want(&session->upstream, EPOLLIN, EPOLL_CTL_MOD);
    want(&session->client, EPOLLIN, EPOLL_CTL_ADD);
}

static void relay(struct side *from)
{
    struct side *to = from->other;
    ssize_t n = recv(from->fd, buffer, BUFFER, 0), sent;
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        finish(from->session);
        return;
    }
    sent = send(to->fd, buffer, (size_t)n, MSG_NOSIGNAL);
    if (sent == n)
        return;
    if (sent < 0 && errno != EAGAIN) {
        finish(from->session);
        return;
    }
    if (sent < 0)
        sent = 0;
    to->size = (size_t)(n - sent);
    to->waiting = malloc(to->size);
    if (to->waiting == NULL)
        abort();
    memcpy(to->waiting, buffer + sent, to->size);
    want(from, 0, EPOLL_CTL_MOD);
    want(to, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static void flush(struct side *to)
{
    ssize_t n = send(to->fd, to->waiting, to->size, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0) {
        finish(to->session);
        return;
    }
    to->size -= (size_t)n;
    memmove(to->waiting, to->waiting + n, to->size);
    if (to->size)
        return;
    free(to->waiting);
    to->waiting = NULL;
    want(to, to->other->waiting ? 0 : EPOLLIN, EPOLL_CTL_MOD);
    want(to->other, EPOLLIN | (to->other->waiting ? EPOLLOUT : 0), EPOLL_CTL_MOD);
}

static void on_event(struct side *side, uint32_t events)
{
    struct session *session = side->session;
    if (session->dead)
        return;
    if (session->connecting) {
        connected(session);
        return;
    }
    if (events & EPOLLOUT && side->waiting)
        flush(side);
    if (session->dead || side->other->waiting) {
        if (!session->dead && events & (EPOLLHUP | EPOLLERR))
            finish(session);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        relay(side);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    struct sockaddr_in address = { .sin_family = AF_INET };
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (argc != 4) {
        fprintf(stderr, "usage: relay PORT TARGET-HOST TARGET-PORT\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.sin_family = AF_INET;
    target.sin_port = htons((uint16_t)atoi(argv[3]));
    inet_pton(AF_INET, argv[2], &target.sin_addr);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("relay: bind()");
        return 1;
    }
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(listener);
            else
                on_event(events[i].data.ptr, events[i].events);
        }
        while (graveyard) {
            struct session *next = graveyard->next;
            free(graveyard);
            graveyard = next;
        }
    }
}
