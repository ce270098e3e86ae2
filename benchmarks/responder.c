/* What stands behind the proxies: answers as fast as it can, so that it is never the limit.
 *
 * A connection whose first byte is that of a CONNECT gets MQTT: CONNACK, SUBACK, PUBACK, PINGRESP,
 * and every PUBLISH back. One that begins with GET gets a WebSocket, and MQTT in it; each frame has
 * to hold whole packets, as the generator's do. Any other gets its own bytes back. One thread,
 * epoll, no time-outs: it lives as long as the benchmark that started it.
 *
 * Usage: responder PORT; prints "ready" when it listens on that port of all loopback addresses.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
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
enum protocol { UNKNOWN, ECHO, MQTT, REQUEST, WEBSOCKET };

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

/* The same in a frame of a WebSocket, where the client has one. */
static int answer_packet(int fd, const char *data, size_t size)
{
    static char frame[BUFFER + 16];
    size_t head = 2;
    if (peers[fd].protocol != WEBSOCKET)
        return answer(fd, data, size);
    if (size > BUFFER)
        return -1;
    frame[0] = (char)0x82;
    if (size < 126) {
        frame[1] = (char)size;
    } else if (size < 65536) {
        frame[1] = 126;
        head = 4;
    } else {
        frame[1] = 127;
        head = 10;
    }
    for (size_t i = 2, bits = 8 * (head - 2); i < head; i++)
        frame[i] = (char)(size >> (bits -= 8));
    memcpy(frame + head, data, size);
    return answer(fd, frame, head + size);
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
        return answer_packet(fd, peer->version == 5 ? "\x20\x03\x00\x00\x00" : "\x20\x02\x00\x00",
                             peer->version == 5 ? 5 : 4);
    case 0x30:
        if (packet[0] & 0x02 && length > 4) {
            size_t at = 2 + (size_t)(body[0] << 8 | body[1]);
            char puback[4] = { 0x40, 2, (char)body[at], (char)body[at + 1] };
            if (at + 2 > length || answer_packet(fd, puback, sizeof puback))
                return -1;
        }
        return answer_packet(fd, (const char *)packet, size);
    case 0x80: {
        char suback[6] = { (char)0x90, 3, (char)body[0], (char)body[1], 0, 0 };
        if (length < 2)
            return -1;
        suback[1] = peer->version == 5 ? 4 : 3;
        return answer_packet(fd, suback, peer->version == 5 ? 6 : 5);
    }
    case 0xC0:
        return answer(fd, pingresp, sizeof pingresp);
    case 0xE0:
        return -1;
    default:
        return 0;
    }
}

/* What was taken of a piece of MQTT; -1 when the connection is over. */
static ssize_t serve_packets(int fd, const char *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        size_t header, whole = packet_size((const uint8_t *)data + at, size - at, &header);
        if (whole == 0 || whole > size - at)
            break;
        if (serve_packet(fd, (const uint8_t *)data + at, whole, header))
            return -1;
        at += whole;
    }
    return (ssize_t)at;
}

/* The same of a piece of a WebSocket. */
static ssize_t serve_frames(int fd, char *data, size_t size)
{
    size_t at = 0;
    while (size - at >= 6) {
        uint8_t *frame = (uint8_t *)data + at;
        size_t length = frame[1] & 0x7F, head = length < 126 ? 2 : length == 126 ? 4 : 10;
        if (size - at < head + 4)
            break;
        if (head > 2) {
            length = 0;
            for (size_t i = 2; i < head; i++)
                length = length << 8 | frame[i];
        }
        if (size - at - head - 4 < length)
            break;
        if (frame[0] != 0x82)
            return -1;
        for (size_t i = 0; i < length; i++)
            frame[head + 4 + i] ^= frame[head + (i & 3)];
        if (serve_packets(fd, (char *)frame + head + 4, length) != (ssize_t)length)
            return -1;
        at += head + 4 + length;
    }
    return (ssize_t)at;
}

/* Grant an upgrade (RFC 6455, 4.2.2). */
static ssize_t serve_request(int fd, const char *data, size_t size)
{
    static const char name[] = "sec-websocket-key: ";
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char text[24 + sizeof guid - 1], digest[SHA_DIGEST_LENGTH];
    char accept[32], said[256];
    const char *end = memmem(data, size, "\r\n\r\n", 4), *key = data;
    if (end == NULL)
        return 0;
    while (key < end && strncasecmp(key, name, sizeof name - 1))
        key++;
    if (end - key < (long)sizeof name - 1 + 24)
        return -1;
    memcpy(text, key + sizeof name - 1, 24);
    memcpy(text + 24, guid, sizeof guid - 1);
    SHA1(text, sizeof text, digest);
    EVP_EncodeBlock((unsigned char *)accept, digest, SHA_DIGEST_LENGTH);
    int length = snprintf(said, sizeof said,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                          "Sec-WebSocket-Protocol: mqtt\r\n\r\n", accept);
    if (answer(fd, said, (size_t)length))
        return -1;
    peers[fd].protocol = WEBSOCKET;
    return end + 4 - data;
}

static ssize_t serve_some(int fd, char *data, size_t size)
{
    switch (peers[fd].protocol) {
    case REQUEST:
        return serve_request(fd, data, size);
    case WEBSOCKET:
        return serve_frames(fd, data, size);
    default:
        return serve_packets(fd, data, size);
    }
}

static int serve(int fd, char *data, size_t size)
{
    struct peer *peer = &peers[fd];
    if (peer->in_size) {
        append(&peer->in, &peer->in_size, data, size);
        data = peer->in;
        size = peer->in_size;
    }
    ssize_t taken = serve_some(fd, data, size);
    if (taken < 0)
        return -1;
    size_t at = (size_t)taken;
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
        peer->protocol = buffer[0] == 0x10 ? MQTT : buffer[0] == 'G' ? REQUEST : ECHO;
    return peer->protocol == ECHO ? answer(fd, buffer, (size_t)n) : serve(fd, buffer, (size_t)n);
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
