/* Many clients that begin a handshake and leave at the first answer, and come again at once.
 *
 * The first flight is the expensive one for a server, and costs a client nothing that says the same
 * each time. One thread, epoll, at the lowest priority that there is: whoever is measured beside it
 * on this core goes first. Ends with SIGTERM, and says how many flights it was answered.
 *
 * Usage: storm PORT CLIENTS FILE, in which a ClientHello stands
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, HELLO = 4096 };

static struct sockaddr_in address = { .sin_family = AF_INET };
static char hello[HELLO], answer[65536];
static size_t hello_size;
static int epoll;
static volatile sig_atomic_t over;

static void stop(int number)
{
    (void)number;
    over = 1;
}

static int begin(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = { .events = EPOLLOUT, .data.fd = fd };
    /* No port waits in TIME_WAIT. */
    struct linger reset = { .l_onoff = 1, .l_linger = 0 };
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(int count, char **words)
{
    struct epoll_event events[EVENTS];
    struct sched_param none = { 0 };
    unsigned long answers = 0;
    if (count < 4) {
        fprintf(stderr, "usage: storm PORT CLIENTS FILE\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGTERM, stop);
    signal(SIGPIPE, SIG_IGN);
    if (sched_setscheduler(0, SCHED_IDLE, &none))
        perror("storm: SCHED_IDLE");
    int file = open(words[3], O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, hello, HELLO);
    if (size <= 0) {
        perror("storm: the ClientHello");
        return 1;
    }
    hello_size = (size_t)size;
    address.sin_port = htons((uint16_t)atoi(words[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < atoi(words[2]); i++) {
        if (begin()) {
            perror("storm: connect()");
            return 1;
        }
    }
    printf("ready\n");
    fflush(stdout);
    while (!over) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (events[i].events == EPOLLOUT) {
                struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
                send(fd, hello, hello_size, MSG_NOSIGNAL);
                epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
                continue;
            }
            answers += recv(fd, answer, sizeof answer, 0) > 0;
            close(fd);
            begin();
        }
    }
    printf("%lu answers\n", answers);
    return 0;
}
