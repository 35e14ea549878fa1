/* The two networks on a calendar queue (Brown, "Calendar queues: a fast O(1) priority queue
 * implementation for the simulation event set problem", CACM 31, 1988), written for speed.
 *
 *     cc -O3 -march=native -o tuned tuned_calendar.c -lm && ./tuned LAYERS NODES HORIZON_S SEED
 *
 * prints one JSON object. Everything is allocated before the clock starts. A node's record fills
 * one cache line and holds its two events, its next prompt and the end of its service, so that to
 * look at an event is to fetch what it needs. Draws are splitmix64 (Steele, Lea and Flood, 2014)
 * and the ziggurat (Marsaglia and Tsang, "The ziggurat method for generating random variables",
 * J. Statistical Software 5, 2000) instead of a logarithm.
 */
#define _POSIX_C_SOURCE 200112L
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INLINE static inline __attribute__((always_inline))
#define UTILIZATION 0.7
#define NONE (-1)
/* Tuned: events per bucket, buckets per node at least, buckets ahead whose node is prefetched,
 * and prompts under way per node for which there is room (1.6 are). */
#define EVENTS_PER_BUCKET 1.4
#define BUCKETS_PER_NODE 4
#define AHEAD 4
#define PROMPTS_PER_NODE 16
#define PROMPTS_MIN 4096
#define RIGHT 7.69711747013104972

enum { ARRIVAL, END };

typedef struct {
    double at_s[2];           /* when its two events happen */
    int32_t following[2];     /* the event behind each in its bucket */
    int32_t served;           /* the task in service, or NONE */
    int32_t first, last;      /* the tasks that wait first and last */
    int32_t waiting;          /* how many wait */
    int32_t padding[6];
} Node;

typedef struct {
    int32_t following[3];     /* the task behind each of its three in a node's queue */
    int32_t origin;
    int32_t layer;
    int32_t awaited;          /* tasks that have not returned */
    int32_t padding[2];
} Prompt;

static Node *nodes;
static Prompt *prompts;
static int32_t *buckets;      /* the first event of each; event 2 * node + ARRIVAL or END */
static int32_t count, free_prompt;
static uint64_t mask, state, events;
static int64_t waiting;
static double per_bucket_hz, gap_s, area, now;

/* --- draws ---------------------------------------------------------------------------------- */

static double scale[256], height[256];
static uint64_t limit[256];

INLINE uint64_t draw(void) {
    uint64_t value = state += 0x9E3779B97F4A7C15u;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}

INLINE double uniform(void) { return ((double)(draw() >> 12) + 0.5) * 0x1p-52; }

/* Cut the area under exp(-x) into 256 strips of one size; strip 0 has the tail beyond RIGHT. */
static void make_strips(void) {
    const double strip = 3.9496598225815571993e-3, base = strip / exp(-RIGHT);
    double x = RIGHT;
    limit[0] = (uint64_t)(RIGHT / base * 0x1p53);
    scale[0] = base * 0x1p-53;
    height[0] = 1.0;
    for (int i = 255; i > 0; i--) {
        scale[i] = x * 0x1p-53;
        height[i] = exp(-x);
        const double above = i > 1 ? -log(strip / x + height[i]) : 0.0;
        limit[i] = (uint64_t)(above / x * 0x1p53);
        x = above;
    }
}

static __attribute__((noinline)) double exponential_slowly(uint64_t value) {
    double above = 0.0;
    for (;;) {
        const uint64_t i = value & 255, j = value >> 11;
        const double x = (double)j * scale[i];
        if (j < limit[i]) return above + x;
        if (i == 0)
            above += RIGHT; /* from there on the law is the same again */
        else if (height[i] + uniform() * (height[i - 1] - height[i]) < exp(-x))
            return above + x;
        value = draw();
    }
}

INLINE double exponential(void) {
    const uint64_t value = draw(), i = value & 255, j = value >> 11;
    if (__builtin_expect(j < limit[i], 1)) return (double)j * scale[i];
    return exponential_slowly(value);
}

/* --- the calendar --------------------------------------------------------------------------- */

INLINE void put(int32_t node, int kind, double at_s) {
    int32_t *bucket = &buckets[(uint64_t)(at_s * per_bucket_hz) & mask];
    nodes[node].at_s[kind] = at_s;
    nodes[node].following[kind] = *bucket;
    *bucket = 2 * node + kind;
}

/* Take the earliest event out; `day` is the bucket of the last one, in days since the start.
 * What is due on a later lap around the calendar stays where it is. */
INLINE int32_t take(uint64_t *day) {
    for (;;) {
        const double end = (double)(*day + 1);
        int32_t *link = &buckets[*day & mask], *best_link = NULL;
        double best = end;
        for (int32_t event = *link; event != NONE; event = *link) {
            Node *node = &nodes[event >> 1];
            const double days = node->at_s[event & 1] * per_bucket_hz;
            if (days < best) {
                best = days;
                best_link = link;
            }
            link = &node->following[event & 1];
        }
        if (best_link != NULL) {
            const int32_t event = *best_link;
            *best_link = nodes[event >> 1].following[event & 1];
            return event;
        }
        const int32_t ahead = buckets[(++*day + AHEAD) & mask];
        if (ahead != NONE) __builtin_prefetch(&nodes[ahead >> 1], 1);
    }
}

/* --- the network ---------------------------------------------------------------------------- */

INLINE void serve(int32_t node) { put(node, END, now + exponential()); }

INLINE void enqueue(int32_t index, int32_t task) {
    Node *node = &nodes[index];
    if (node->served == NONE) {
        node->served = task;
        serve(index);
        return;
    }
    waiting++;
    area -= now;
    if (node->waiting++ == 0)
        node->first = task;
    else
        prompts[node->last >> 2].following[node->last & 3] = task;
    node->last = task;
}

INLINE void fork_layer(int32_t index, int layers) {
    static const int pairs[6][2] = {{-2, -1}, {-2, 1}, {-2, 2}, {-1, 1}, {-1, 2}, {1, 2}};
    Prompt *prompt = &prompts[index];
    const int32_t origin = prompt->origin;
    prompt->awaited = prompt->layer < layers ? 3 : 1;
    enqueue(origin, 4 * index);
    if (prompt->layer == layers) return;
    const int *pair = pairs[((draw() >> 32) * 6) >> 32];
    for (int slot = 0; slot < 2; slot++) {
        int32_t peer = origin + pair[slot];
        peer += peer < 0 ? count : 0;
        peer -= peer >= count ? count : 0;
        enqueue(peer, 4 * index + slot + 1);
    }
}

INLINE void join(int32_t index, int layers) {
    Prompt *prompt = &prompts[index];
    if (--prompt->awaited) return;
    if (prompt->layer++ < layers) {
        fork_layer(index, layers);
    } else {
        prompt->origin = free_prompt;
        free_prompt = index;
    }
}

INLINE void arrive(int32_t node, int layers) {
    put(node, ARRIVAL, now + gap_s * exponential());
    if (layers == 0) {
        /* A prompt is its one task: the number of those that wait is all there is to know. */
        if (nodes[node].served == NONE) {
            nodes[node].served = 0;
            serve(node);
        } else {
            nodes[node].waiting++;
            waiting++;
            area -= now;
        }
        return;
    }
    const int32_t index = free_prompt;
    if (index == NONE) {
        fputs("more prompts under way than there is room for\n", stderr);
        exit(1);
    }
    free_prompt = prompts[index].origin;
    prompts[index].origin = node;
    prompts[index].layer = 0;
    fork_layer(index, layers);
}

INLINE void end(int32_t index, int layers) {
    Node *node = &nodes[index];
    const int32_t task = node->served;
    if (node->waiting) {
        node->waiting--;
        waiting--;
        area += now;
        if (layers) {
            node->served = node->first;
            node->first = prompts[node->first >> 2].following[node->first & 3];
        }
        serve(index);
    } else {
        node->served = NONE;
    }
    if (layers) join(task >> 2, layers);
}

INLINE void simulate(int layers, double horizon_s) {
    uint64_t day = 0;
    for (;;) {
        const int32_t event = take(&day);
        now = nodes[event >> 1].at_s[event & 1];
        if (now > horizon_s) return;
        events++;
        if (event & 1)
            end(event >> 1, layers);
        else
            arrive(event >> 1, layers);
    }
}

static void *room(size_t number, size_t size) {
    void *made = NULL;
    if (posix_memalign(&made, 64, number * size)) {
        fputs("not enough memory\n", stderr);
        exit(1);
    }
    return memset(made, 0xFF, number * size); /* touched; as an integer each is NONE */
}

/* Processor time: what else the machine does lengthens it little. */
static double clock_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int argc, char **argv) {
    const int layers = argc == 5 ? atoi(argv[1]) : -1;
    count = argc == 5 ? atoi(argv[2]) : 0;
    if ((layers != 0 && layers != 2) || count < 5 || count > 10000000) {
        fprintf(stderr, "usage: %s LAYERS (0 or 2) NODES (5 to 10^7) HORIZON_S SEED\n", argv[0]);
        return 2;
    }
    const double horizon_s = atof(argv[3]);
    state = strtoull(argv[4], NULL, 10) * 0xD1342543DE82EF95u;
    const int tasks = 3 * layers + 1;
    gap_s = tasks / UTILIZATION;
    per_bucket_hz = count * (1 + tasks) / gap_s / EVENTS_PER_BUCKET;
    uint64_t size = 64;
    while (size < (uint64_t)count * BUCKETS_PER_NODE) size *= 2;
    mask = size - 1;
    const int32_t capacity = layers ? PROMPTS_PER_NODE * count + PROMPTS_MIN : 0;
    buckets = room(size, sizeof *buckets);
    nodes = room((size_t)count, sizeof *nodes);
    prompts = room((size_t)capacity, sizeof *prompts);
    for (int32_t i = 0; i < capacity; i++) prompts[i].origin = i + 1 < capacity ? i + 1 : NONE;
    free_prompt = 0;
    make_strips();
    for (int32_t i = 0; i < count; i++) {
        nodes[i].waiting = 0;
        put(i, ARRIVAL, gap_s * exponential());
    }
    const double began_s = clock_s();
    /* Constants here, so that the compiler makes one loop for each network. */
    if (layers == 2)
        simulate(2, horizon_s);
    else
        simulate(0, horizon_s);
    const double seconds = clock_s() - began_s;
    const double mean = (area + (double)waiting * horizon_s) / horizon_s / count;
    printf("{\"events\": %llu, \"seconds\": %.9f, \"waiting\": %.9f, \"compiler\": \"%s\"}\n",
           (unsigned long long)events, seconds, mean, __VERSION__);
    return 0;
}
