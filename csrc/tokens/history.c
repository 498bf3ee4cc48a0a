/* history.c: the tokens of one sequence, and what penalties and repeats ask of them, kept token by token.
 *
 * Distinct tokens are numbered as they appear; a list of those that occur orders them by their last occurrence. A column
 * counts occurrences in a window. A gram index links every position to the last earlier one whose tokens, up to there, have
 * the same hash. All is undone in the reverse order, so a rollback leaves what there was before. Shared histories are
 * never written: whoever changes one takes its own copy first. */
#include "tokens/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tokens/memory.h"
#include "tokens/step_values.h"

enum { LEAST_ROOM = 64 };

/* *at += by, whichever thread; the sum. */
#if defined(_MSC_VER)
#include <intrin.h>
#define FL_ADD(at, by) (_InterlockedExchangeAdd((volatile long *)(at), (by)) + (by))
#else
#define FL_ADD(at, by) __atomic_add_fetch((at), (by), __ATOMIC_ACQ_REL)
#endif

/* The next `count` words of the block. */
static int32_t *take(int32_t **at, int64_t count) {
    int32_t *taken = *at;
    *at += count;
    return taken;
}

static int64_t words_of(const fl_history *h, int64_t room) {
    return room * (2 + 2 * h->width + 9 + h->columns + 2 * h->indexes);
}

static void lay_out(fl_history *h, char *block, int64_t room) {
    h->block = block;
    h->room = room;
    for (h->shift = 32; INT64_C(1) << (32 - h->shift) < 2 * room;) h->shift--;
    h->tokens = (int64_t *)(void *)block;
    h->memory = (double *)(void *)(h->tokens + room);
    int32_t *at = (int32_t *)(void *)(h->memory + room * h->width);
    h->index = take(&at, room);
    h->before = take(&at, room);
    h->above = take(&at, room);
    h->id = take(&at, room);
    h->last = take(&at, room);
    h->older = take(&at, room);
    h->newer = take(&at, room);
    h->table = take(&at, 2 * room);
    for (int32_t i = 0; i < h->columns; i++) h->column[i].count = take(&at, room);
    for (int32_t i = 0; i < h->indexes; i++) {
        h->grams[i].head = take(&at, room);
        h->grams[i].link = take(&at, room);
    }
}

/* ---- tokens by id ------------------------------------------------------------------------------- */

/* Where the number of a token stands in the table, or where it would. */
static int32_t *place_of(const fl_history *h, int64_t token) {
    uint32_t mask = (uint32_t)(2 * h->room - 1), at = (uint32_t)token * 2654435769u >> h->shift;
    while (h->table[at] && h->id[h->table[at] - 1] != token) at = (at + 1) & mask;
    return &h->table[at];
}

int32_t fl_history_find(const fl_history *h, int64_t token) { return *place_of(h, token) - 1; }

/* ---- grams --------------------------------------------------------------------------------------- */

/* Head of the chain of the grams that end at `at`. */
static int32_t *head_of(const fl_history *h, const fl_grams *g, int64_t at) {
    uint32_t hash = 0;
    for (int64_t i = at - g->order + 1; i <= at; i++) hash = ((hash ^ (uint32_t)h->tokens[i]) + 1) * 2654435769u;
    return &g->head[hash >> (h->shift + 1)];
}

static void link_gram(const fl_history *h, const fl_grams *g, int64_t at) {
    g->link[at] = -1;
    if (at + 1 < g->order) return;
    int32_t *head = head_of(h, g, at);
    g->link[at] = *head;
    *head = (int32_t)at;
}

const int32_t *fl_history_links(const fl_history *h, int64_t order) {
    if (order > FL_MAX_ORDER) order = FL_MAX_ORDER;
    for (int32_t i = 0; i < h->indexes; i++)
        if (h->grams[i].order == order) return h->grams[i].link;
    return NULL;
}

/* ---- making and copying ------------------------------------------------------------------------- */

static void copy_words(int32_t *to, const int32_t *from, int64_t n) { memcpy(to, from, (size_t)n * sizeof(int32_t)); }

static void copy_arrays(const fl_history *to, const fl_history *from) {
    if (!from->n) return;
    memcpy(to->tokens, from->tokens, (size_t)from->n * sizeof(int64_t));
    memcpy(to->memory, from->memory, (size_t)(from->n * from->width) * sizeof(double));
    copy_words(to->index, from->index, from->n);
    copy_words(to->before, from->before, from->n);
    copy_words(to->above, from->above, from->n);
    copy_words(to->id, from->id, from->distinct);
    copy_words(to->last, from->last, from->distinct);
    copy_words(to->older, from->older, from->distinct);
    copy_words(to->newer, from->newer, from->distinct);
    for (int32_t i = 0; i < from->columns; i++) copy_words(to->column[i].count, from->column[i].count, from->distinct);
}

/* The tables of a history whose arrays are filled. */
static void make_tables(const fl_history *h) {
    memset(h->table, 0, (size_t)h->room * 2 * sizeof(int32_t));
    for (int32_t d = 0; d < h->distinct; d++) *place_of(h, h->id[d]) = d + 1;
    for (int32_t i = 0; i < h->indexes; i++) {
        memset(h->grams[i].head, 0xff, (size_t)h->room * sizeof(int32_t));
        for (int64_t at = 0; at < h->n; at++) link_gram(h, &h->grams[i], at);
    }
}

static void copy_tables(const fl_history *to, const fl_history *from) {
    copy_words(to->table, from->table, 2 * from->room);
    for (int32_t i = 0; i < from->indexes; i++) {
        copy_words(to->grams[i].head, from->grams[i].head, from->room);
        copy_words(to->grams[i].link, from->grams[i].link, from->n);
    }
}

/* Its arrays anew in a block of that room. */
static int move(fl_history *h, int64_t room) {
    fl_history old = *h;
    char *block = malloc((size_t)words_of(h, room) * sizeof(int32_t));
    if (!block) return FL_NO_MEMORY;
    lay_out(h, block, room);
    copy_arrays(h, &old);
    if (room == old.room)
        copy_tables(h, &old);
    else
        make_tables(h);
    return FL_OK;
}

fl_history *fl_history_share(fl_history *h) {
    FL_ADD(&h->users, 1);
    return h;
}

void fl_history_free(fl_history *h) {
    if (!h || FL_ADD(&h->users, -1)) return;
    free(h->block);
    free(h);
}

fl_history *fl_history_own(fl_history *h) {
    if (FL_ADD(&h->users, 0) == 1) return h;
    fl_history *copy = malloc(sizeof *copy);
    if (!copy) return NULL;
    *copy = *h;
    copy->users = 1;
    if (move(copy, h->room)) {
        free(copy);
        return NULL;
    }
    fl_history_free(h);
    return copy;
}

static void add_column(fl_history *h, int64_t window, int64_t from) {
    for (int32_t i = 0; i < h->columns; i++)
        if (h->column[i].window == window && h->column[i].from == from) return;
    h->column[h->columns++] = (fl_column){.window = window, .from = from};
}

static void add_index(fl_history *h, int64_t order) {
    if (order > FL_MAX_ORDER) order = FL_MAX_ORDER;
    for (int32_t i = 0; i < h->indexes; i++)
        if (h->grams[i].order == order) return;
    h->grams[h->indexes++].order = order;
}

/* What a step reads quicker from a history than from the tokens. */
static void add_step(fl_history *h, const fl_step_values *v, int32_t steps) {
    if (v->hears) h->width = steps * FL_MEMORY;
    if (v->op == FL_OP_frequency_penalty) add_column(h, v->window, fl_counts_from(v, h->prompt_length));
    if (v->op == FL_OP_dry && v->value != 0.0 && v->third >= 1) add_index(h, (int64_t)v->third);
    if (v->op == FL_OP_no_repeat_ngram && v->value >= 2) add_index(h, (int64_t)v->value - 1);
}

fl_history *fl_history_new(const fl_plan *plan, int64_t row, int64_t prompt_length) {
    fl_history *h = calloc(1, sizeof *h);
    if (!h) return NULL;
    h->newest = -1;
    h->users = 1;
    h->prompt_length = prompt_length;
    for (int32_t i = 0; i < plan->count && i < FL_MAX_STEPS; i++) {
        fl_step_values v;
        fl_step_values_read(&v, &plan->steps[i], row, i);
        add_step(h, &v, plan->count);
    }
    if (move(h, LEAST_ROOM)) {
        free(h);
        return NULL;
    }
    return h;
}

/* ---- one token more, one less -------------------------------------------------------------------- */

static int32_t number_of(fl_history *h, int64_t token) {
    int32_t *place = place_of(h, token);
    if (!*place) {
        int32_t d = h->distinct++;
        h->id[d] = (int32_t)token;
        h->last[d] = -1;
        for (int32_t i = 0; i < h->columns; i++) h->column[i].count[d] = 0;
        *place = d + 1;
    }
    return *place - 1;
}

/* The token numbered last no longer occurs. No other stands behind its place in the table because of it. */
static void forget_token(fl_history *h) {
    *place_of(h, h->id[h->distinct - 1]) = 0;
    h->distinct--;
}

/* Takes a token out of the list; its newer neighbour, or -1. */
static int32_t unlink_token(fl_history *h, int32_t d) {
    int32_t newer = h->newer[d], older = h->older[d];
    *(newer < 0 ? &h->newest : &h->older[newer]) = older;
    if (older >= 0) h->newer[older] = newer;
    return newer;
}

/* Puts a token into the list behind its newer neighbour, or in front. */
static void link_token(fl_history *h, int32_t d, int32_t newer) {
    int32_t *to = newer < 0 ? &h->newest : &h->older[newer];
    h->older[d] = *to;
    h->newer[d] = newer;
    if (*to >= 0) h->newer[*to] = d;
    *to = d;
}

/* Occurrences as token `at` enters the windows (by 1) or leaves them again (by -1). */
static void count_token(const fl_history *h, int64_t at, int32_t by) {
    for (int32_t i = 0; i < h->columns; i++) {
        const fl_column *c = &h->column[i];
        if (at >= c->from) c->count[h->index[at]] += by;
        if (c->window >= 0 && at - c->window >= c->from) c->count[h->index[at - c->window]] -= by;
    }
}

static void accept_token(fl_history *h, int64_t token) {
    int64_t at = h->n++;
    int32_t d = number_of(h, token);
    h->tokens[at] = token;
    h->index[at] = d;
    h->before[at] = h->last[d];
    h->above[at] = h->last[d] < 0 ? -1 : unlink_token(h, d);
    link_token(h, d, -1);
    h->last[d] = (int32_t)at;
    count_token(h, at, 1);
    for (int32_t i = 0; i < h->indexes; i++) link_gram(h, &h->grams[i], at);
}

/* What the steps remember behind the last token: what they did before, or what they observed. */
static void remember(fl_history *h, const fl_plan *plan, int64_t row, const double *observed) {
    double *now = h->memory + (h->n - 1) * h->width;
    for (int64_t i = 0; i < h->width; i++) now[i] = h->n > 1 ? now[i - h->width] : (double)NAN;
    if (observed) fl_plan_remember(plan, row, observed, now);
}

const double *fl_history_remembers(const fl_history *h) {
    return h->width && h->n ? h->memory + (h->n - 1) * h->width : NULL;
}

int64_t fl_history_memory(const fl_history *h, double **memory) {
    *memory = h->memory;
    return h->width;
}

int fl_history_accept(fl_history *h, const int64_t *tokens, int64_t count, const fl_plan *plan, int64_t row,
                      const double *observed, int64_t heard) {
    int64_t room = h->room;
    while (room < h->n + count && room < INT64_C(1) << 30) room *= 2;
    if (room < h->n + count) return FL_NO_MEMORY;
    char *old = h->block;
    if (room > h->room) {
        if (move(h, room)) return FL_NO_MEMORY;
        free(old);
    }
    for (int64_t i = 0; i < count; i++) {
        accept_token(h, tokens[i]);
        if (h->width) remember(h, plan, row, i < heard ? observed + i * plan->count : NULL);
    }
    return FL_OK;
}

void fl_history_rollback(fl_history *h, int64_t count) {
    for (; count > 0; count--) {
        int64_t at = h->n - 1;
        int32_t d = h->index[at];
        for (int32_t i = 0; i < h->indexes; i++)
            if (at + 1 >= h->grams[i].order) *head_of(h, &h->grams[i], at) = h->grams[i].link[at];
        count_token(h, at, -1);
        unlink_token(h, d);
        h->last[d] = h->before[at];
        if (h->last[d] >= 0)
            link_token(h, d, h->above[at]);
        else
            forget_token(h);
        h->n = at;
    }
}

int64_t fl_history_prompt(const fl_history *h) { return h->prompt_length; }

int64_t fl_history_tokens(const fl_history *h, const int64_t **tokens) {
    *tokens = h->tokens;
    return h->n;
}

/* ---- what the steps ask --------------------------------------------------------------------------- */

const int32_t *fl_history_counts(const fl_history *h, int64_t start) {
    for (int32_t i = 0; i < h->columns; i++) {
        const fl_column *c = &h->column[i];
        int64_t begin = c->window < 0 || c->window > h->n ? 0 : h->n - c->window;
        if ((begin > c->from ? begin : c->from) == start) return c->count;
    }
    return NULL;
}
