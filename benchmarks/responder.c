/* What stands behind the proxies: answers as fast as it can, so that it is never the limit.
 *
 * A connection whose first byte is that of a CONNECT gets MQTT: CONNACK, SUBACK, PUBACK, PINGRESP,
 * and every PUBLISH back. Any other gets its own bytes back. One thread, epoll, no time-outs: it
 * lives as long as the benchmark that started it.
 *
 * Usage: responder PORT; prints "ready" when it listens on that port of all loopback addresses.
 */
#define _GNU_SOURCE
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

enum { EVENTS = 512, BUFFER = 262144, MOST_DESCRIPTORS = 1 << 20 };
enum protocol { UNKNOWN, ECHO, MQTT };

struct peer {
    enum protocol protocol;
    uint8_t version;    /* of MQTT */
    char *in, *out;     /* a packet that is not whole yet; an answer that was not taken */
    size_t in_size, out_size;
};

static struct peer *peers;
static char buffer[BUFFER];
static int epoll;

static void drop(int fd)
{
    free(peers[fd].in);
    free(peers[fd].out);
    memset(&peers[fd], 0, sizeof(struct peer));
    close(fd);
}

static void want(int fd, uint32_t events, int op)
{
    struct epoll_event event = { .events = events, .data.fd = fd };
    epoll_ctl(epoll, op, fd, &event);
}

static void append(char **to, size_t *size, const char *data, size_t more)
{
    *to = realloc(*to, *size + more);
    if (*to == NULL)
        abort();
    memcpy(*to + *size, data, more);
    *size += more;
}

/* 0, or -1 when the connection is gone. While something waits to be sent, nothing is read. */
static int answer(int fd, const char *data, size_t size)
{
    struct peer *peer = &peers[fd];
    ssize_t n = 0;
    if (peer->out_size == 0) {
        n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return -1;
        if (n < 0)
            n = 0;
    }
    if ((size_t)n < size) {
        append(&peer->out, &peer->out_size, data + n, size - (size_t)n);
        want(fd, EPOLLOUT, EPOLL_CTL_MOD);
    }
    return 0;
}

static int flush(int fd)
{
    struct peer *peer = &peers[fd];
    ssize_t n = send(fd, peer->out, peer->out_size, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN ? 0 : -1;
    peer->out_size -= (size_t)n;
    memmove(peer->out, peer->out + n, peer->out_size);
    if (peer->out_size == 0) {
        free(peer->out);
        peer->out = NULL;
        want(fd, EPOLLIN, EPOLL_CTL_MOD);
    }
    return 0;
}

/* The size of the packet that begins here, with its header's; 0 while that is not known. */
static size_t packet_size(const uint8_t *data, size_t size, size_t *header)
{
    size_t length = 0;
    for (size_t i = 1; i < size && i < 5; i++) {
        length |= (size_t)(data[i] & 0x7F) << (7 * (i - 1));
        if (!(data[i] & 0x80)) {
            *header = i + 1;
            return i + 1 + length;
        }
    }
    return 0;
}

static int serve_packet(int fd, const uint8_t *packet, size_t size, size_t header)
{
    static const char pingresp[] = { (char)0xD0, 0 };
    struct peer *peer = &peers[fd];
    const uint8_t *body = packet + header;
    size_t length = size - header;
    switch (packet[0] & 0xF0) {
    case 0x10:
        peer->version = length > 6 ? body[2 + body[1]] : 4;
        return answer(fd, peer->version == 5 ? "\x20\x03\x00\x00\x00" : "\x20\x02\x00\x00",
                      peer->version == 5 ? 5 : 4);
    case 0x30:
        if (packet[0] & 0x02 && length > 4) {
            size_t at = 2 + (size_t)(body[0] << 8 | body[1]);
            char puback[4] = { 0x40, 2, (char)body[at], (char)body[at + 1] };
            if (at + 2 > length || answer(fd, puback, sizeof puback))
                return -1;
        }
        return answer(fd, (const char *)packet, size);
    case 0x80: {
        char suback[6] = { (char)0x90, 3, (char)body[0], (char)body[1], 0, 0 };
        if (length < 2)
            return -1;
        suback[1] = peer->version == 5 ? 4 : 3;
        return answer(fd, suback, peer->version == 5 ? 6 : 5);
    }
    case 0xC0:
        return answer(fd, pingresp, sizeof pingresp);
    case 0xE0:
        return -1;
    default:
        return 0;
    }
}

static int serve(int fd, const char *data, size_t size)
{
    struct peer *peer = &peers[fd];
    if (peer->in_size) {
        append(&peer->in, &peer->in_size, data, size);
        data = peer->in;
        size = peer->in_size;
    }
    size_t at = 0;
    while (at < size) {
        size_t header, whole = packet_size((const uint8_t *)data + at, size - at, &header);
        if (whole == 0 || whole > size - at)
            break;
        if (serve_packet(fd, (const uint8_t *)data + at, whole, header))
            return -1;
        at += whole;
    }
    if (data == peer->in) {
        peer->in_size -= at;
        memmove(peer->in, peer->in + at, peer->in_size);
        if (peer->in_size == 0) {
            free(peer->in);
            peer->in = NULL;
        }
    } else if (at < size) {
        append(&peer->in, &peer->in_size, data + at, size - at);
    }
    return 0;
}

static int on_readable(int fd)
{
    struct peer *peer = &peers[fd];
    ssize_t n = recv(fd, buffer, BUFFER, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN ? 0 : -1;
    if (peer->protocol == UNKNOWN)
        peer->protocol = buffer[0] == 0x10 ? MQTT : ECHO;
    return peer->protocol == MQTT ? serve(fd, buffer, (size_t)n) : answer(fd, buffer, (size_t)n);
}

static void on_connection(int listener)
{
    int one = 1;
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (fd >= MOST_DESCRIPTORS) {
            close(fd);
            return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        want(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    struct sockaddr_in address = { .sin_family = AF_INET };
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (argc != 2) {
        fprintf(stderr, "usage: responder PORT\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    /* All of 127.0.0.0/8, for each proxy connects to an address of its own; no other device. */
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    if (setsockopt(listener, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof "lo")) {
        perror("responder: SO_BINDTODEVICE");
        return 1;
    }
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("responder: bind()");
        return 1;
    }
    peers = calloc(MOST_DESCRIPTORS, sizeof(struct peer));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    want(listener, EPOLLIN, EPOLL_CTL_ADD);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                on_connection(fd);
            else if (events[i].events & EPOLLOUT ? flush(fd) : on_readable(fd))
                drop(fd);
        }
    }
}
