/* The floor of the fan-out: a server that does nothing but send.
 *
 *     bare_sender PORT
 *
 * A connection that says "s" subscribes. One that says "p" publishes: four bytes of a size, most
 * significant first, and so many bytes, again and again. Whatever is published is sent to each
 * subscriber, by one system call each. There is no log, no key, no matching, no frame and no second
 * look: what another server on this machine and kernel does above this is its own, and what it is
 * below nobody is who makes a system call for each subscriber.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUBSCRIBERS_MAX 20000
#define ROOM (1 << 20)
#define EVENTS 64

static int subscribers[SUBSCRIBERS_MAX], count, publisher = -1;
static unsigned char held[ROOM];
static size_t filled;

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* All of it, also where the socket's buffer is full: this waits, as the measure is of one crowd that
 * reads as fast as it can. */
static void send_all(int to, const unsigned char *data, size_t size) {
    while (size) {
        ssize_t sent = send(to, data, size, MSG_NOSIGNAL);
        if (sent < 0)
            return; /* it has gone */
        data += sent;
        size -= (size_t)sent;
    }
}

static void deliver(void) {
    size_t at = 0;
    while (filled - at >= 4) {
        const unsigned char *head = held + at;
        size_t size = (size_t)head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3];
        if (filled - at - 4 < size)
            break;
        for (int n = 0; n < count; n++)
            send_all(subscribers[n], head + 4, size);
        at += 4 + size;
    }
    memmove(held, held + at, filled - at);
    filled -= at;
}

static void hear(int from) {
    if (from == publisher) {
        ssize_t got = read(from, held + filled, sizeof held - filled);
        if (got <= 0)
            exit(0);
        filled += (size_t)got;
        deliver();
        return;
    }
    char said;
    if (read(from, &said, 1) <= 0) {
        for (int n = 0; n < count; n++)
            if (subscribers[n] == from)
                subscribers[n] = subscribers[--count];
        close(from);
    } else if (said == 'p') {
        publisher = from;
    } else if (count < SUBSCRIBERS_MAX) {
        subscribers[count++] = from;
        send_all(from, (const unsigned char *)"subscribed", 10);
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: bare_sender PORT\n");
        return 2;
    }
    int door = socket(AF_INET, SOCK_STREAM, 0), on = 1, looks = epoll_create1(0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    here.sin_port = htons((uint16_t)atoi(argv[1]));
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(door, (struct sockaddr *)&here, sizeof here) || listen(door, 1024))
        die("cannot listen");
    struct epoll_event look = {.events = EPOLLIN, .data.fd = door}, found[EVENTS];
    if (looks < 0 || epoll_ctl(looks, EPOLL_CTL_ADD, door, &look))
        die("cannot look");
    for (;;) {
        int some = epoll_wait(looks, found, EVENTS, -1);
        if (some < 0 && errno != EINTR)
            die("cannot wait");
        for (int n = 0; n < some; n++) {
            if (found[n].data.fd != door) {
                hear(found[n].data.fd);
                continue;
            }
            look.data.fd = accept(door, NULL, NULL);
            if (look.data.fd < 0)
                die("cannot accept");
            setsockopt(look.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            epoll_ctl(looks, EPOLL_CTL_ADD, look.data.fd, &look);
        }
    }
}
