/* The floor of the fan-out: a server that does nothing but send.
 *
 *     bare_sender PORT [ring]
 *
 * A connection that says "s" subscribes. One that says "p" publishes: four bytes of a size, most
 * significant first, and so many bytes, again and again. Whatever is published is sent to each
 * subscriber, by one system call each. There is no log, no key, no matching, no frame and no second
 * look: what another server on this machine and kernel does above this is its own, and what it is
 * below nobody is who makes a system call for each subscriber.
 *
 * With "ring" all sends of a message are handed to the kernel by one call, through an io_uring. What
 * is left then is the kernel's own work for each of them.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

/* The ring: a queue of what is to be sent, and one of what became of it. */
#define RING 1024
static int ring = -1;
static unsigned *tail, *mask, *slots, *done_head, *done_tail, *done_mask;
static struct io_uring_sqe *wanted;
static struct io_uring_cqe *done;

static void open_ring(void) {
    struct io_uring_params set = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    ring = (int)syscall(SYS_io_uring_setup, RING, &set);
    if (ring < 0)
        die("no io_uring");
    size_t size = set.sq_off.array + set.sq_entries * sizeof(unsigned);
    size_t done_size = set.cq_off.cqes + set.cq_entries * sizeof(struct io_uring_cqe);
    if (done_size > size)
        size = done_size;
    unsigned char *shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                                 IORING_OFF_SQ_RING);
    wanted = mmap(NULL, set.sq_entries * sizeof *wanted, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                  IORING_OFF_SQES);
    if (shared == MAP_FAILED || wanted == MAP_FAILED || !(set.features & IORING_FEAT_SINGLE_MMAP))
        die("cannot map the ring");
    tail = (unsigned *)(shared + set.sq_off.tail);
    mask = (unsigned *)(shared + set.sq_off.ring_mask);
    slots = (unsigned *)(shared + set.sq_off.array);
    done_head = (unsigned *)(shared + set.cq_off.head);
    done_tail = (unsigned *)(shared + set.cq_off.tail);
    done_mask = (unsigned *)(shared + set.cq_off.ring_mask);
    done = (struct io_uring_cqe *)(shared + set.cq_off.cqes);
}

/* Each of these subscribers gets the message; what the kernel took only in part is sent after. */
static void send_by_ring(const int *to, int some, const unsigned char *data, size_t size) {
    unsigned at = *tail;
    for (int n = 0; n < some; n++, at++) {
        struct io_uring_sqe *one = &wanted[at & *mask];
        memset(one, 0, sizeof *one);
        one->opcode = IORING_OP_SEND;
        one->fd = to[n];
        one->addr = (uintptr_t)data;
        one->len = (unsigned)size;
        one->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
        one->user_data = (uint64_t)n;
        slots[at & *mask] = at & *mask;
    }
    __atomic_store_n(tail, at, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring, some, some, IORING_ENTER_GETEVENTS, NULL, 0) != some)
        die("the ring does not take it");
    unsigned head = *done_head;
    while (head != __atomic_load_n(done_tail, __ATOMIC_ACQUIRE)) {
        struct io_uring_cqe *one = &done[head++ & *done_mask];
        if (one->res >= 0 && (size_t)one->res < size)
            send_all(to[one->user_data], data + one->res, size - (size_t)one->res);
    }
    __atomic_store_n(done_head, head, __ATOMIC_RELEASE);
}

static void send_to_all(const unsigned char *data, size_t size) {
    if (ring < 0)
        for (int n = 0; n < count; n++)
            send_all(subscribers[n], data, size);
    else
        for (int n = 0; n < count; n += RING)
            send_by_ring(subscribers + n, count - n < RING ? count - n : RING, data, size);
}

static void deliver(void) {
    size_t at = 0;
    while (filled - at >= 4) {
        const unsigned char *head = held + at;
        size_t size = (size_t)head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3];
        if (filled - at - 4 < size)
            break;
        send_to_all(head + 4, size);
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
    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "ring"))) {
        fprintf(stderr, "usage: bare_sender PORT [ring]\n");
        return 2;
    }
    if (argc == 3)
        open_ring();
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
