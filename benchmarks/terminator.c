/* What OpenSSL itself needs: a server that only does TLS, and gives a client its bytes back.
 *
 * Its buffers are released when they are empty, and it keeps nothing of its own for a connection.
 * A CONNECT of MQTT 3.1.1 gets a CONNACK. One thread, epoll, no time-outs: it lives as long as the
 * benchmark that started it.
 *
 * Usage: terminator PORT 1.2|1.3 CERTIFICATE KEY [CA: clients have to show a certificate]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, BUFFER = 65536, MOST_DESCRIPTORS = 1 << 20 };

static SSL **peers;
static char buffer[BUFFER];
static int epoll;

static void drop(int fd)
{
    SSL_shutdown(peers[fd]);
    SSL_free(peers[fd]);
    peers[fd] = NULL;
    close(fd);
}

static int die(const char *what)
{
    fprintf(stderr, "terminator: %s\n", what);
    ERR_print_errors_fp(stderr);
    return 1;
}

/* 0, or -1 when the connection is over. */
static int on_readable(int fd)
{
    SSL *ssl = peers[fd];
    ERR_clear_error();
    do {
        int n = SSL_read(ssl, buffer, BUFFER);
        if (n <= 0)
            return SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
        if (buffer[0] == 0x10) {
            memcpy(buffer, "\x20\x02\x00\x00", 4);
            n = 4;
        }
        /* An answer is a small message, or the benchmark does not use this program. */
        if (SSL_write(ssl, buffer, n) != n)
            return -1;
    } while (SSL_has_pending(ssl));
    return 0;
}

static void on_connection(int listener, SSL_CTX *ctx)
{
    int one = 1;
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
        if (fd < 0)
            return;
        peers[fd] = SSL_new(ctx);
        SSL_set_fd(peers[fd], fd);
        SSL_set_accept_state(peers[fd]);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static SSL_CTX *context(int count, char **words)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int version = strcmp(words[2], "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION;
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"bench", 5);
    if (SSL_CTX_set1_groups_list(ctx, "X25519") != 1
        || SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM") != 1
        || SSL_CTX_use_certificate_chain_file(ctx, words[3]) != 1
        || SSL_CTX_use_PrivateKey_file(ctx, words[4], SSL_FILETYPE_PEM) != 1)
        return NULL;
    if (count > 5) {
        if (SSL_CTX_load_verify_file(ctx, words[5]) != 1)
            return NULL;
        SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(words[5]));
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return ctx;
}

int main(int count, char **words)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    struct epoll_event events[EVENTS];
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (count < 5)
        return die("usage: terminator PORT 1.2|1.3 CERTIFICATE KEY [CA]");
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX *ctx = context(count, words);
    if (ctx == NULL)
        return die("cannot use the files");
    address.sin_port = htons((uint16_t)atoi(words[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("terminator: bind()");
        return 1;
    }
    peers = calloc(MOST_DESCRIPTORS, sizeof *peers);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                on_connection(fd, ctx);
            else if (on_readable(fd))
                drop(fd);
        }
    }
}
