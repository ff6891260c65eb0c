/* The load client of bench/websocket.py: many WebSocket connections in one thread, on epoll.
 *
 *   websocket_load echo   PORT CONNECTIONS SECONDS SIZE   each connection keeps PIPELINE messages on their way
 *   websocket_load fanout PORT CONNECTIONS ROUNDS SIZE    all subscribe; one more publishes; all must get it
 *   websocket_load idle   PORT CONNECTIONS 0 1            opens them, says "ready", and waits for the end of its input
 *
 * and of bench/realtime.py, whose servers speak protocols of their own on it (DIALECTS): clients of TOPICS topics
 *
 *   websocket_load shout  PORT CONNECTIONS ROUNDS SIZE DIALECT   one more has a message sent to each topic; all must get theirs
 *   websocket_load events PORT CONNECTIONS SECONDS SIZE DIALECT  each keeps PIPELINE events on their way, that are answered
 *   websocket_load relay  PORT CONNECTIONS SECONDS SIZE DIALECT  the same with events that are sent to all of a topic that is the client's alone
 *   websocket_load joined PORT CONNECTIONS 0 1 DIALECT           as idle, when all have joined
 *
 * These join BATCH at a time, say "ready" and the seconds that took, wait for a line, and when they have measured for the end of
 * their input: what the servers take is read before, between and after.
 *
 * It reads whatever a socket has, often several messages, and counts them by their headers without copying them. Prints one
 * line: numbers separated by blanks (see main), the last its own CPU time as a share of one core. Frames are masked with the
 * key 0, which a server cannot tell from any other.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIPELINE = 8, EVENTS = 512, READ = 65536, TOPICS = 10, STEPS = 3, BATCH = 32 };

struct connection {
    int fd;
    uint64_t skip;        /* bytes of the current message that are still to come */
    unsigned char head[10];
    int have;             /* bytes of a header that was cut */
    const char *frame;    /* what it sends again and again */
    int frame_size;
};

/* How a client joins topic %d: what it sends (nothing where that is empty), each answered by one message; what else it sends,
 * with the topic and a text. */
struct dialect {
    const char *name, *path, *steps[STEPS], *shout, *event, *relay;
};

static const struct dialect DIALECTS[] = {
    {"hornbeam", "/socket/websocket?vsn=2.0.0", {"[\"1\",\"1\",\"room:%d\",\"phx_join\",{}]"},
     "[\"1\",null,\"room:-1\",\"shout\",{\"room\":\"%d\",\"text\":\"%s\"}]", "[\"1\",\"2\",\"room:%d\",\"echo\",{\"text\":\"%s\"}]",
     "[\"1\",null,\"room:%d\",\"relay\",{\"text\":\"%s\"}]"},
    {"presence", "/socket/websocket?vsn=2.0.0", {"[\"1\",\"1\",\"member:%d\",\"phx_join\",{}]"}, "", "", ""},
    {"django", "/room%d", {""}, "{\"event\":\"shout\",\"room\":\"room%d\",\"text\":\"%s\"}",
     "{\"event\":\"echo\",\"room\":\"room%d\",\"text\":\"%s\"}", "{\"event\":\"shout\",\"room\":\"room%d\",\"text\":\"%s\"}"},
    {"socketio", "/socket.io/?EIO=4&transport=websocket", {"", "40", "420[\"join\",\"room%d\"]"},
     "42[\"shout\",{\"room\":\"room%d\",\"text\":\"%s\"}]", "421[\"echo\",{\"room\":\"room%d\",\"text\":\"%s\"}]",
     "42[\"shout\",{\"room\":\"room%d\",\"text\":\"%s\"}]"},
};

static struct connection *all;
static int epoll_fd;
static char frame[65600];
static int frame_size;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int make_frame(char *out, const char *payload, int size) {
    int at = 0;
    out[at++] = (char)0x81;
    if (size < 126) {
        out[at++] = (char)(0x80 | size);
    } else {
        out[at++] = (char)(0x80 | 126);
        out[at++] = (char)(size >> 8);
        out[at++] = (char)size;
    }
    memset(out + at, 0, 4);
    memcpy(out + at + 4, payload, size);
    return at + 4 + size;
}

static void write_all(int fd, const char *data, int size) {
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) { usleep(100); continue; }
        if (n < 0) die("send");
        data += n;
        size -= (int)n;
    }
}

/* Asks for a WebSocket; accepted() waits for the answer. */
static int ask(int port, const char *path) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (fd < 0) die("socket");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    char request[512];
    int size = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "User-Agent: hornbeam-bench\r\n\r\n", path, port);
    write_all(fd, request, size);
    return fd;
}

static void accepted(int fd) {
    char answer[2048];
    int have = 0;
    while (have < 4 || memcmp(answer + have - 4, "\r\n\r\n", 4) != 0) {
        ssize_t n = read(fd, answer + have, 1);
        if (n <= 0 || ++have == sizeof answer) die("handshake");
    }
    if (memcmp(answer, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "refused: %.*s\n", have, answer);
        exit(1);
    }
}

static int open_one(int port, const char *path) {
    int fd = ask(port, path);
    accepted(fd);
    return fd;
}

/* The number of messages that end in these bytes. */
static int count(struct connection *c, const unsigned char *data, size_t size) {
    int messages = 0;
    while (size > 0) {
        if (c->skip > 0) {
            size_t step = size < c->skip ? size : c->skip;
            c->skip -= step;
            data += step;
            size -= step;
            if (c->skip == 0) messages++;
            continue;
        }
        c->head[c->have++] = *data++;
        size--;
        int length = c->have > 1 ? c->head[1] & 127 : 0;
        int need = length == 127 ? 10 : length == 126 ? 4 : 2;
        if (c->have < need) continue;
        c->skip = length;
        if (length >= 126) {
            c->skip = 0;
            for (int i = 2; i < need; i++) c->skip = c->skip << 8 | c->head[i];
        }
        c->have = 0;
        if (c->skip == 0) messages++;
    }
    return messages;
}

static int drain(struct connection *c) {
    static unsigned char buffer[READ];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n == 0) { fprintf(stderr, "the server closed a connection\n"); exit(1); }
    if (n < 0) { if (errno == EAGAIN) return 0; die("recv"); }
    return count(c, buffer, n);
}

static void connect_all(int port, int connections, const char *path) {
    all = calloc(connections, sizeof *all);
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        all[i].fd = open_one(port, path);
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, all[i].fd, &event);
    }
}

/* Waits for a number of messages, and notes when each has come; 0 after 20 s without any. */
static int await_noting(long expected, double *times) {
    struct epoll_event events[EVENTS];
    while (expected > 0) {
        int n = epoll_wait(epoll_fd, events, EVENTS, 20000);
        if (n <= 0) return 0;
        for (int i = 0; i < n; i++) {
            int messages = drain(events[i].data.ptr);
            if (messages > expected) die("more messages than were sent");
            expected -= messages;
            if (times) for (double at = now(); messages > 0; messages--) *times++ = at;
        }
    }
    return 1;
}

static int await(long expected) {
    return await_noting(expected, NULL);
}

/* messages seconds cpu_share */
static void pipeline(int connections, double seconds) {
    double begin = now(), cpu0 = cpu(), end = begin + seconds;
    long total = 0;
    struct epoll_event events[EVENTS];
    for (int i = 0; i < connections; i++)
        for (int j = 0; j < PIPELINE; j++) write_all(all[i].fd, all[i].frame, all[i].frame_size);
    while (now() < end) {
        int n = epoll_wait(epoll_fd, events, EVENTS, 1000);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            int messages = drain(c);
            total += messages;
            if (messages > PIPELINE) die("more messages than were sent");
            static char burst[PIPELINE * sizeof frame];
            for (int j = 0; j < messages; j++) memcpy(burst + j * c->frame_size, c->frame, c->frame_size);
            if (messages > 0) write_all(c->fd, burst, messages * c->frame_size);
        }
    }
    double took = now() - begin, share = (cpu() - cpu0) / took;
    /* What is still on its way would come to the clients of the next run, in the same topics. */
    if (!await((long)connections * PIPELINE)) { fprintf(stderr, "an answer did not arrive\n"); exit(1); }
    printf("%ld %.6f %.3f\n", total, took, share);
}

static void echo(int port, int connections, double seconds) {
    connect_all(port, connections, "/echo");
    for (int i = 0; i < connections; i++) all[i].frame = frame, all[i].frame_size = frame_size;
    pipeline(connections, seconds);
}

/* deliveries seconds cpu_share, where seconds is the sum of the rounds' times to the last delivery */
static void fanout(int port, int connections, int rounds) {
    char subscribe[32];
    int size = make_frame(subscribe, "subscribe", 9);
    connect_all(port, connections, "/room");
    for (int i = 0; i < connections; i++) {
        write_all(all[i].fd, subscribe, size);
        if (!await(1)) die("no answer to subscribe");
    }
    int publisher = open_one(port, "/room");
    double took = 0, cpu0 = cpu(), begin = now();
    for (int round = 0; round < rounds; round++) {
        double start = now();
        write_all(publisher, frame, frame_size);
        if (!await(connections)) { fprintf(stderr, "a message did not arrive\n"); exit(1); }
        took += now() - start;
    }
    printf("%ld %.6f %.3f\n", (long)rounds * connections, took, (cpu() - cpu0) / (now() - begin));
}

static void ready(double took) {
    printf("ready %.6f\n", took);
    fflush(stdout);
}

static void wait_for_end(void) {
    fflush(stdout);
    while (getchar() != EOF) { }
}

static void idle(int port, int connections) {
    connect_all(port, connections, "/echo");
    ready(0);
    wait_for_end();
}

static const struct dialect *speaks(const char *name) {
    for (size_t i = 0; i < sizeof DIALECTS / sizeof *DIALECTS; i++)
        if (strcmp(DIALECTS[i].name, name) == 0) return &DIALECTS[i];
    fprintf(stderr, "no dialect %s\n", name);
    exit(2);
}

static int say(char *out, const char *format, int topic, const char *text) {
    static char payload[sizeof frame - 64];
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int size = snprintf(payload, sizeof payload, format, topic, text);
    return make_frame(out, payload, size);
}

/* One message and not a byte more: others may follow. */
static void read_one(int fd) {
    unsigned char head[4];
    for (int have = 0, need = 2; have < need; have++) {
        if (read(fd, head + have, 1) != 1) die("no answer to a join");
        if (have == 1 && (head[1] & 127) == 126) need = 4;
        if (have == 1 && (head[1] & 127) == 127) die("a long answer to a join");
    }
    int length = (head[1] & 127) == 126 ? head[2] << 8 | head[3] : head[1] & 127;
    for (char byte; length > 0; length--) if (read(fd, &byte, 1) != 1) die("a cut answer");
}

/* So many clients at once; the messages that were for each of them alone have come. */
static void join(struct connection *some, int size, int port, const struct dialect *of, int first, int topics) {
    char path[128], hello[256];
    for (int i = 0; i < size; i++) {
        snprintf(path, sizeof path, of->path, (first + i) % topics);
        some[i].fd = ask(port, path);
    }
    for (int i = 0; i < size; i++) accepted(some[i].fd);
    for (int step = 0; step < STEPS && of->steps[step]; step++) {
        for (int i = 0; *of->steps[step] && i < size; i++)
            write_all(some[i].fd, hello, say(hello, of->steps[step], (first + i) % topics, ""));
        for (int i = 0; i < size; i++) read_one(some[i].fd);
    }
}

/* All of them; says how long that took. */
static void join_all(int port, int connections, const struct dialect *of, int topics) {
    double begin = now();
    all = calloc(connections, sizeof *all);
    epoll_fd = epoll_create1(0);
    for (int i = 0; i < connections; i += BATCH)
        join(all + i, connections - i < BATCH ? connections - i : BATCH, port, of, i, topics);
    for (int i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, all[i].fd, &event);
    }
    ready(now() - begin);
}

static int earlier(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* deliveries seconds cpu_share p50 p99, where seconds is the sum of the rounds' times to the last delivery, and the
 * percentiles are those of the seconds from the begin of its round to a delivery */
static void shout(int port, int connections, int rounds, const char *text, const struct dialect *of) {
    struct connection publisher = {0};
    join(&publisher, 1, port, of, -1, TOPICS);
    join_all(port, connections, of, TOPICS);
    long total = (long)rounds * connections;
    double *times = calloc(total, sizeof *times);
    getchar();
    double took = 0, cpu0 = cpu(), begin = now();
    for (int round = 0; round < rounds; round++) {
        double start = now(), *its = times + (long)round * connections;
        for (int topic = 0; topic < TOPICS; topic++) write_all(publisher.fd, frame, say(frame, of->shout, topic, text));
        if (!await_noting(connections, its)) { fprintf(stderr, "a message did not arrive\n"); exit(1); }
        took += now() - start;
        for (int i = 0; i < connections; i++) its[i] -= start;
    }
    double share = (cpu() - cpu0) / (now() - begin);
    qsort(times, total, sizeof *times, earlier);
    printf("%ld %.6f %.3f %.6f %.6f\n", total, took, share, times[total / 2], times[total * 99 / 100]);
}

/* Each sends events of its own topic, or of one that is everybody's. */
static void events(int port, int connections, double seconds, const char *text, const char *format, const struct dialect *of, int topics) {
    join_all(port, connections, of, topics);
    for (int i = 0; i < connections; i++) {
        int size = say(frame, format, i % topics, text);
        char *copy = malloc(size);
        memcpy(copy, frame, size);
        all[i].frame = copy, all[i].frame_size = size;
    }
    getchar();
    pipeline(connections, seconds);
}

static void channels(const char *kind, int port, int connections, double amount, const char *text, const struct dialect *of) {
    if (strcmp(kind, "shout") == 0) shout(port, connections, (int)amount, text, of);
    else if (strcmp(kind, "events") == 0) events(port, connections, amount, text, of->event, of, 1);
    else if (strcmp(kind, "relay") == 0) events(port, connections, amount, text, of->relay, of, connections);
    else join_all(port, connections, of, TOPICS);
    wait_for_end();
}

int main(int count, char **words) {
    if (count != 6 && count != 7) { fprintf(stderr, "usage: see the head of websocket_load.c\n"); return 2; }
    static char payload[65536];
    int port = atoi(words[2]), connections = atoi(words[3]), size = atoi(words[5]);
    if (size < 1 || size > (int)sizeof payload) return 2;
    memset(payload, 'x', size);
    frame_size = make_frame(frame, payload, size);
    if (count == 7) channels(words[1], port, connections, atof(words[4]), payload, speaks(words[6]));
    else if (strcmp(words[1], "echo") == 0) echo(port, connections, atof(words[4]));
    else if (strcmp(words[1], "idle") == 0) idle(port, connections);
    else fanout(port, connections, atoi(words[4]));
    return 0;
}
