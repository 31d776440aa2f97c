/*
 * A link between two network namespaces that takes time: what enters one end leaves the other after a set delay.
 *
 *   link NEAR_NETNS FAR_NETNS INTERFACE MTU QUEUE_PACKETS DELAY_US RATE_BYTES_PER_S
 *
 * NEAR_NETNS and FAR_NETNS are files as in /run/netns. In each a TUN device INTERFACE is made; addresses are the
 * caller's business. Both directions are alike and independent: a packet is first sent out at the rate (0: at once), one
 * after the other, then travels for the delay. At most QUEUE_PACKETS are on their way in a direction; what comes
 * on top is dropped, as a router does.
 *
 * Prints "up" when both devices exist. A number on a line of standard input is the new one-way delay in microseconds
 * (answered by "ok"). Ends when standard input closes, so it cannot outlive its caller; the devices go with it.
 *
 * The devices have no offloads: the kernel hands over packets of at most MTU bytes, and TCP's slow start is as real as
 * on a wire.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull
#define NS_PER_US 1000ull

struct packet {
    uint64_t due; /* when it arrives, CLOCK_MONOTONIC in ns */
    uint32_t length;
};

/* One direction: a ring of packets, oldest first. The delay may be changed while packets are on their way; they are
 * never reordered. */
struct direction {
    int from, to;
    struct packet *packets;
    unsigned char *bytes; /* a slot of MTU bytes for each packet */
    uint64_t head, tail;  /* ever delivered, ever taken */
    uint64_t wire_free;   /* when the last packet has been sent out */
};

static uint32_t mtu, capacity;
static uint64_t delay, rate;

static void die(const char *what)
{
    fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* A device belongs to the namespace in which its descriptor was opened; the descriptor works from anywhere. */
static int open_tun(const char *netns, const char *interface)
{
    int namespace = open(netns, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNET) < 0)
        die(netns);
    close(namespace);
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tun < 0)
        die("/dev/net/tun");
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
    if (ioctl(tun, TUNSETIFF, &request) < 0)
        die(interface);
    return tun;
}

static void make(struct direction *d, int from, int to)
{
    d->from = from;
    d->to = to;
    d->packets = calloc(capacity, sizeof *d->packets);
    d->bytes = calloc(capacity, mtu);
    if (!d->packets || !d->bytes)
        die("memory");
}

/* Take what waits at the entrance; not without end, so that the other direction gets its turn. */
static void take(struct direction *d)
{
    static unsigned char overflow[65536];
    for (int i = 0; i < 64; i++) {
        int full = d->tail - d->head == capacity;
        unsigned char *slot = full ? overflow : d->bytes + (d->tail % capacity) * (uint64_t)mtu;
        ssize_t length = read(d->from, slot, full ? sizeof overflow : mtu);
        if (length <= 0)
            return;
        if (full)
            continue;
        uint64_t sent = now();
        if (rate) {
            if (d->wire_free > sent)
                sent = d->wire_free;
            sent += (uint64_t)length * NS_PER_S / rate;
            d->wire_free = sent;
        }
        d->packets[d->tail++ % capacity] = (struct packet){.due = sent + delay, .length = (uint32_t)length};
    }
}

/* Hand over what has arrived; returns when the next one is due. */
static uint64_t deliver(struct direction *d)
{
    uint64_t t = now();
    for (; d->head != d->tail; d->head++) {
        struct packet *p = &d->packets[d->head % capacity];
        if (p->due > t)
            return p->due;
        /* A device that is down or full loses the packet: so does a network. */
        ssize_t written = write(d->to, d->bytes + (d->head % capacity) * (uint64_t)mtu, p->length);
        (void)written;
    }
    return UINT64_MAX;
}

/* Returns 0 at the end of standard input. */
static int obey(void)
{
    char line[64];
    ssize_t length = read(STDIN_FILENO, line, sizeof line - 1);
    if (length <= 0)
        return 0;
    line[length] = 0;
    delay = strtoull(line, NULL, 10) * NS_PER_US;
    puts("ok");
    fflush(stdout);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "usage: link NEAR_NETNS FAR_NETNS INTERFACE MTU QUEUE_PACKETS DELAY_US RATE_BYTES_PER_S\n");
        return 2;
    }
    mtu = (uint32_t)strtoul(argv[4], NULL, 10);
    capacity = (uint32_t)strtoul(argv[5], NULL, 10);
    delay = strtoull(argv[6], NULL, 10) * NS_PER_US;
    rate = strtoull(argv[7], NULL, 10);

    int near = open_tun(argv[1], argv[3]), far = open_tun(argv[2], argv[3]);
    struct direction there = {0}, back = {0};
    make(&there, near, far);
    make(&back, far, near);
    prctl(PR_SET_TIMERSLACK, 1); /* wake up when it is due, not 50 microseconds later */
    puts("up");
    fflush(stdout);

    for (;;) {
        uint64_t next = deliver(&there), next_back = deliver(&back), t = now();
        if (next_back < next)
            next = next_back;
        uint64_t wait = next == UINT64_MAX ? NS_PER_S : next > t ? next - t : 0;
        struct timespec timeout = {.tv_sec = (time_t)(wait / NS_PER_S), .tv_nsec = (long)(wait % NS_PER_S)};
        struct pollfd ready[] = {{STDIN_FILENO, POLLIN, 0}, {near, POLLIN, 0}, {far, POLLIN, 0}};
        if (ppoll(ready, 3, &timeout, NULL) < 0 && errno != EINTR)
            die("ppoll");
        if (ready[0].revents && !obey())
            return 0;
        take(&there);
        take(&back);
    }
}
