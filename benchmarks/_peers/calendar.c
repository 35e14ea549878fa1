/* The two networks with the compiled engine's own method, in C: the same calendar queue (a list for
 * each day, of which the earliest by time, kind, node and serial number is looked for; the length of
 * a day tuned as the run goes on), the same keyed draws (splitmix64 and the C library's logarithm),
 * the same steps of the same nodes, and the same sums. What the networks do not have is left out:
 * delays, laws other than the exponential, slots that share a processor, bounded queues.
 *
 *     cc -O3 -march=native -o calendar calendar.c -lm && ./calendar LAYERS NODES HORIZON_S SEED
 *
 * prints one JSON object. `tuned_calendar.c` is what remains when all is left out that these two
 * networks and their mean queue do not need.
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
#define PROPOSERS 2
#define DEGREE 4
#define SHIFT 2 /* a prompt has room for 2^SHIFT tasks */
#define TOKENS 256
#define INSTRUCTION_TOKENS 60
#define PROMPTS_PER_NODE 16
#define PROMPTS_MIN 4096
#define EVENTS_PER_DAY 1.4
#define TUNED_FIRST 1024
#define GOLDEN 0x9E3779B97F4A7C15u

enum { ENDS = 0, ARRIVES = 3 };
enum { PROMPT, ENDED, TASK, RESPONSE };

typedef struct {
    int32_t waiting, serving, joining, unfinished;
    int32_t slots, places, foreign, reserved;
    int32_t first, last, degree, plan_tasks;
    int64_t offset;
    uint64_t service_key, select_key;
    double scale, seen_s;
    double waiting_s, serving_s, joining_s, unfinished_s, busy_s;
} Node;

typedef struct {
    uint64_t key;
    double rate_hz, time_s;
    int64_t number, answered;
} Source;

typedef struct {
    int32_t origin, stage, held, expected, row, next;
    int64_t number, prompt_tokens, gathered_tokens, content_tokens;
    double arrived_s;
} Flight;

typedef struct {
    int32_t server, message, next, row;
    int64_t tokens;
    double queued_s, started_s;
} Task;

typedef struct {
    double time_s;
    int64_t serial;
    int32_t kind, node, next;
} Event;

static Node *nodes;
static Source *sources;
static Flight *flights;
static Task *tasks;
static Event *events; /* of each node, then of each task */
static int32_t *days, *targets;
static int64_t count, layers, mask, day, serial, pending, happened, tune_at, tuned_at;
static int64_t free_flight;
static int64_t arrived, answered, started, served;
static int64_t waiting_max = INT32_MAX;
static double days_per_s, tuned_s, sojourn_s, waited_s, service_s, queued_s;
static int32_t *found_link, inbox[64], picked[PROPOSERS];
static int inbox_tail;

/* --- draws ---------------------------------------------------------------------------------- */

INLINE uint64_t mix(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}

INLINE double uniform(uint64_t key, int64_t position) {
    const int64_t value = (int64_t)(mix(key + (uint64_t)position * GOLDEN) >> 12);
    return ((double)value + 0.5) * 0x1p-52;
}

INLINE int64_t position_of(int64_t number, int64_t stage, int64_t slot) {
    return ((number << 10) | stage) << 20 | slot;
}

/* --- the calendar --------------------------------------------------------------------------- */

INLINE int precedes(const Event *one, const Event *other) {
    if (one->time_s != other->time_s) return one->time_s < other->time_s;
    if (one->kind != other->kind) return one->kind < other->kind;
    if (one->node != other->node) return one->node < other->node;
    return one->serial < other->serial;
}

INLINE int64_t day_of(const Event *event) { return (int64_t)(event->time_s * days_per_s); }

INLINE void insert(int32_t index) {
    int32_t *first = &days[day_of(&events[index]) & mask];
    events[index].next = *first;
    *first = index;
}

INLINE void schedule(int32_t index, int kind, int32_t node, double at_s) {
    Event *event = &events[index];
    event->time_s = at_s;
    event->kind = kind;
    event->node = node;
    event->serial = serial++;
    pending++;
    insert(index);
}

/* What belongs to a later year is later than the day's end. */
INLINE int32_t earliest(void) {
    for (int64_t at = day;; at++) {
        int32_t *link = &days[at & mask], found = NONE;
        double soonest = (double)(at + 1);
        for (int32_t index = *link; index != NONE; index = *link) {
            Event *event = &events[index];
            const double time = event->time_s * days_per_s;
            if (time < soonest ||
                (time == soonest && found != NONE && precedes(event, &events[found]))) {
                found = index;
                found_link = link;
                soonest = time;
            }
            link = &event->next;
        }
        if (found != NONE) {
            day = at;
            return found;
        }
    }
}

static __attribute__((noinline)) void retune(double now_s) {
    int32_t every = NONE;
    for (int64_t place = 0; place <= mask; place++) {
        for (int32_t event = days[place], next; event != NONE; event = next) {
            next = events[event].next;
            events[event].next = every;
            every = event;
        }
        days[place] = NONE;
    }
    days_per_s = (double)(happened - tuned_at) / (now_s - tuned_s) / EVENTS_PER_DAY;
    day = INT64_MAX;
    for (int32_t next; every != NONE; every = next) {
        next = events[every].next;
        insert(every);
        if (day_of(&events[every]) < day) day = day_of(&events[every]);
    }
    tuned_at = happened;
    tune_at = 2 * happened;
    tuned_s = now_s;
}

/* --- the nodes ------------------------------------------------------------------------------ */

INLINE void look(Node *node, double now_s) {
    const double passed_s = now_s - node->seen_s;
    node->seen_s = now_s;
    node->waiting_s += node->waiting * passed_s;
    node->serving_s += node->serving * passed_s;
    node->joining_s += node->joining * passed_s;
    node->unfinished_s += node->unfinished * passed_s;
    node->busy_s += (node->waiting > 0) * passed_s;
}

INLINE int objects(const Node *node, int places) {
    return node->places >= 0 && node->foreign + node->reserved + places > node->places;
}

INLINE void enqueue(Node *me, int32_t node, int32_t queued, double now_s) {
    Task *task = &tasks[queued];
    task->server = node;
    task->queued_s = now_s;
    task->next = NONE;
    queued_s += now_s;
    if (me->waiting == 0)
        me->first = queued;
    else
        tasks[me->last].next = queued;
    me->last = queued;
    me->waiting++;
}

INLINE void send(int kind, int32_t task) {
    tasks[task].message = kind;
    inbox[inbox_tail++] = task;
}

INLINE int choose(const Node *me, int64_t position) {
    for (int place = 0; place < PROPOSERS; place++) {
        const int32_t last = me->degree - PROPOSERS + place;
        int32_t pick = (int32_t)(uniform(me->select_key, position + place) * (last + 1));
        for (int before = 0; before < place; before++)
            if (picked[before] == pick) pick = last;
        picked[place] = pick;
    }
    for (int place = 0; place < PROPOSERS; place++)
        picked[place] = targets[me->offset + picked[place]];
    return PROPOSERS;
}

INLINE void fork_stage(Node *me, int32_t asking, int stage, int64_t tokens, double now_s) {
    Flight *flight = &flights[asking];
    flight->stage = stage;
    flight->content_tokens = tokens;
    flight->gathered_tokens = 0;
    flight->held = 0;
    const int asked = stage < layers ? choose(me, position_of(flight->number, stage, 1)) : 0;
    flight->expected = 1 + asked;
    const int32_t task = asking << SHIFT;
    enqueue(me, flight->origin, task, now_s);
    for (int place = 0; place < asked; place++) {
        tasks[task + 1 + place].server = picked[place];
        send(TASK, task + 1 + place);
    }
}

INLINE int gather(Flight *flight, int64_t tokens) {
    flight->held++;
    flight->gathered_tokens += tokens;
    nodes[flight->origin].joining++;
    return flight->held == flight->expected;
}

INLINE int join(Node *me, int32_t joined, double now_s) {
    Flight *flight = &flights[joined];
    me->joining -= flight->held;
    if (flight->stage < layers) return 1;
    me->reserved -= me->plan_tasks;
    me->unfinished--;
    sources[flight->origin].answered++;
    answered++;
    sojourn_s += now_s - flight->arrived_s;
    flight->origin = NONE;
    flight->next = (int32_t)free_flight;
    free_flight = joined;
    return 0;
}

INLINE int32_t accept(Node *me, int32_t node, double now_s) {
    const int64_t number = sources[node].number++;
    arrived++;
    if (objects(me, me->plan_tasks)) return NONE;
    const int32_t taken = (int32_t)free_flight;
    Flight *flight = &flights[taken];
    free_flight = flight->next;
    me->reserved += me->plan_tasks;
    me->unfinished++;
    flight->origin = node;
    flight->number = number;
    flight->prompt_tokens = TOKENS;
    flight->arrived_s = now_s;
    return taken;
}

INLINE void start(Node *me, int32_t node, double now_s) {
    const int32_t index = me->first;
    Task *task = &tasks[index];
    const Flight *flight = &flights[index >> SHIFT];
    me->first = task->next;
    me->waiting--;
    me->serving++;
    task->tokens = TOKENS;
    task->started_s = now_s;
    started++;
    queued_s -= task->queued_s;
    waited_s += now_s - task->queued_s;
    const int64_t position =
        position_of(flight->number, flight->stage, index & ((1 << SHIFT) - 1));
    const double point = uniform(nodes[flight->origin].service_key, position);
    schedule((int32_t)count + index, ENDS, node, now_s + -me->scale * log(point));
}

INLINE int hear_ended(Node *me, int32_t node, int32_t ended, double now_s) {
    Task *task = &tasks[ended];
    Flight *flight = &flights[ended >> SHIFT];
    me->serving--;
    served++;
    service_s += now_s - task->started_s;
    if (flight->origin == node) return gather(flight, task->tokens);
    me->foreign--;
    send(RESPONSE, ended);
    return 0;
}

INLINE int hear_message(Node *me, int32_t node, int32_t heard, double now_s) {
    Task *task = &tasks[heard];
    if (task->message != TASK) return gather(&flights[heard >> SHIFT], task->tokens);
    me->foreign++;
    enqueue(me, node, heard, now_s);
    return 0;
}

INLINE void step(Node *me, int kind, int32_t node, int32_t task, double now_s) {
    look(me, now_s);
    int32_t flight = NONE;
    int stage = 0;
    if (kind == PROMPT) {
        flight = accept(me, node, now_s);
    } else {
        const int complete = kind == ENDED ? hear_ended(me, node, task, now_s)
                                           : hear_message(me, node, task, now_s);
        if (complete) {
            stage = flights[task >> SHIFT].stage + 1;
            if (join(me, task >> SHIFT, now_s)) flight = task >> SHIFT;
        }
    }
    if (flight != NONE) {
        int64_t tokens = flights[flight].prompt_tokens;
        if (stage > 0) tokens += INSTRUCTION_TOKENS + flights[flight].gathered_tokens;
        fork_stage(me, flight, stage, tokens, now_s);
    }
    while (me->waiting > 0 && me->serving < me->slots) start(me, node, now_s);
}

INLINE int cascade(int heard, int32_t node, int32_t task, double now_s) {
    inbox_tail = 0;
    for (int head = 0;;) {
        Node *me = &nodes[node];
        step(me, heard, node, task, now_s);
        if (me->waiting >= waiting_max) return 0;
        if (head == inbox_tail) return 1;
        task = inbox[head++];
        heard = TASK;
        node = tasks[task].server;
        if (tasks[task].message != TASK) node = flights[task >> SHIFT].origin;
    }
}

INLINE void expect(int32_t node, double now_s) {
    Source *source = &sources[node];
    source->time_s += -log(uniform(source->key, source->number)) / source->rate_hz;
    schedule(node, ARRIVES, node, now_s + (source->time_s - now_s));
}

static void simulate(double horizon_s) {
    while (pending > 0) {
        if (free_flight == NONE) {
            fputs("more prompts under way than there is room for\n", stderr);
            exit(1);
        }
        const int32_t index = earliest();
        const Event *event = &events[index];
        const double now_s = event->time_s;
        const int32_t node = event->node, kind = event->kind;
        if (now_s >= horizon_s) return;
        *found_link = event->next;
        pending--;
        happened++;
        if (!cascade(kind == ARRIVES ? PROMPT : ENDED, node, index - (int32_t)count, now_s)) return;
        if (kind == ARRIVES) expect(node, now_s);
        if (happened == tune_at) retune(now_s);
    }
}

static void *room(size_t number, size_t size) {
    void *made = NULL;
    if (posix_memalign(&made, 64, number * size)) {
        fputs("not enough memory\n", stderr);
        exit(1);
    }
    return memset(made, 0, number * size);
}

static void prepare(uint64_t seed) {
    const int plan_tasks = 3 * (int)layers + 1;
    const int64_t capacity = PROMPTS_PER_NODE * count + PROMPTS_MIN;
    static const int32_t steps[DEGREE] = {-2, -1, 1, 2};
    for (mask = 16; mask < 4 * count;) mask *= 2;
    days = room((size_t)mask, sizeof *days);
    memset(days, 0xFF, (size_t)mask-- * sizeof *days);
    nodes = room((size_t)count, sizeof *nodes);
    sources = room((size_t)count, sizeof *sources);
    targets = room((size_t)(DEGREE * count), sizeof *targets);
    flights = room((size_t)capacity, sizeof *flights);
    tasks = room((size_t)capacity << SHIFT, sizeof *tasks);
    events = room((size_t)(count + (capacity << SHIFT)), sizeof *events);
    for (int32_t i = 0; i < capacity; i++) flights[i].next = i + 1 < capacity ? i + 1 : NONE;
    tune_at = TUNED_FIRST;
    days_per_s = (double)count * UTILIZATION / plan_tasks * (1 + plan_tasks);
    for (int32_t i = 0; i < count; i++) {
        const uint64_t own = mix(mix(seed + GOLDEN) + (uint64_t)i * GOLDEN);
        nodes[i].slots = 1;
        nodes[i].places = NONE;
        nodes[i].degree = DEGREE;
        nodes[i].plan_tasks = plan_tasks;
        nodes[i].offset = (int64_t)DEGREE * i;
        nodes[i].scale = 1.0;
        nodes[i].service_key = mix(own + 1);
        nodes[i].select_key = mix(own + 2);
        sources[i].key = mix(own + 3);
        sources[i].rate_hz = UTILIZATION / plan_tasks;
        for (int place = 0; place < DEGREE; place++)
            targets[DEGREE * i + place] = (int32_t)((i + steps[place] + count) % count);
        expect(i, 0.0);
    }
}

/* Processor time: what else the machine does lengthens it little. */
static double clock_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argc, char **argv) {
    layers = argc == 5 ? atoi(argv[1]) : -1;
    count = argc == 5 ? atoi(argv[2]) : 0;
    if ((layers != 0 && layers != 2) || count < 5 || count > 1000000) {
        fprintf(stderr, "usage: %s LAYERS (0 or 2) NODES (5 to 10^6) HORIZON_S SEED\n", argv[0]);
        return 2;
    }
    const double horizon_s = atof(argv[3]);
    prepare(strtoull(argv[4], NULL, 10));
    const double began_s = clock_s();
    simulate(horizon_s);
    const double seconds = clock_s() - began_s;
    double waiting = 0.0;
    for (int64_t i = 0; i < count; i++)
        waiting += nodes[i].waiting_s + nodes[i].waiting * (horizon_s - nodes[i].seen_s);
    printf("{\"events\": %lld, \"seconds\": %.9f, \"waiting\": %.9f, \"compiler\": \"%s\"}\n",
           (long long)happened, seconds, waiting / horizon_s / (double)count, __VERSION__);
    return 0;
}
