/* gumbel.c: Gumbel-max. Token i waits e_i ~ Exp(1), all independent, and the largest logit - ln e_i is drawn with the
 * probabilities of softmax; the n largest are a draw without replacement (Gumbel, 1954; Kool et al., 2019).
 *
 * The waits belong to (seed, key, position, number, id) and are made from the top down, so that few are made at all: the
 * least of a block of 256 tokens is Exp(1) / 256, in any of its 16 lanes; the least of another lane comes Exp(1) / 16
 * later, at any of its 16 places; every other token comes Exp(1) later still. The exponential law forgets what has passed,
 * so these are the waits of independent tokens. One Philox block has the words of four blocks, lanes or tokens. Words: the
 * upper 52 bits b are u = (b + 1/2) / 2^52, the lower 4 the lane or place.
 *
 * Beyond 2^20 the sum of a logit and its noise would lose the noise to rounding: there logits count from the largest one,
 * the base of the row. Below it the base is 0, so that sums of different shards are compared as they are. */
#include "plan/gumbel.h"

#include <float.h>
#include <string.h>

#include "base/math.h"
#include "plan/report.h"
#include "rows/sort.h"

enum { BLOCKS, LANES, TOKENS, LEVELS };

typedef struct {
    uint64_t seed, key, position, number;
    uint64_t at[LEVELS], words[LEVELS][4]; /* the Philox block held at each level */
    int64_t block, lane;                   /* whose waits are held */
    double block_wait, lane_wait;
} noise;

static noise noise_of(const fl_job *j, int64_t number) {
    noise z = {
        .seed = j->in->seed, .key = (uint64_t)j->key, .position = (uint64_t)j->position, .number = (uint64_t)number};
    z.block = z.lane = -1;
    for (int level = 0; level < LEVELS; level++) z.at[level] = UINT64_MAX;
    return z;
}

static uint64_t word(noise *z, int level, int64_t i) {
    uint64_t at = (uint64_t)i / 4;
    if (z->at[level] != at) {
        uint64_t counter[4] = {z->position, z->number, at, (uint64_t)level + 1};
        fl_philox(z->seed, z->key, counter, z->words[level]);
        z->at[level] = at;
    }
    return z->words[level][i % 4];
}

/* -ln u, and 1 - u, which is less. */
static double wait_of(uint64_t w) { return -fl_log(((double)(w >> 12) + 0.5) * 0x1p-52); }
static double least_wait_of(uint64_t w) { return ((double)(~w >> 12) + 0.5) * 0x1p-52; }

/* At least -ln wait: log2 is above its chords, and the bits of a double follow those. */
static double bound_of(double wait) {
    int64_t bits;
    memcpy(&bits, &wait, 8);
    return FL_LN2 * (1023.0 - (double)bits * 0x1p-52) + 1e-9;
}

static double block_wait(noise *z, int64_t block) {
    if (z->block != block) z->block_wait = wait_of(word(z, BLOCKS, block)) / FL_BLOCK;
    z->block = block;
    return z->block_wait;
}

static int is_first_lane(noise *z, int64_t lane) {
    return lane % FL_LANES == (int64_t)(word(z, BLOCKS, lane / FL_LANES) % FL_LANES);
}

/* Lanes are counted over all blocks, as groups are. */
static double lane_wait(noise *z, int64_t lane) {
    if (z->lane != lane) {
        double least = block_wait(z, lane / FL_LANES);
        z->lane_wait = is_first_lane(z, lane) ? least : least + wait_of(word(z, LANES, lane)) / FL_LANES;
    }
    z->lane = lane;
    return z->lane_wait;
}

static double least_lane_wait(noise *z, int64_t lane) {
    double least = block_wait(z, lane / FL_LANES);
    return is_first_lane(z, lane) ? least : least + least_wait_of(word(z, LANES, lane)) / FL_LANES;
}

static int64_t lane_of(int64_t token) { return token / FL_BLOCK * FL_LANES + token % FL_LANES; }

enum { LARGEST_WITHOUT_BASE = 1 << 20 };

static double base_of(double top) { return fabs(top) < LARGEST_WITHOUT_BASE ? 0 : top; }

/* What a token must reach to be among the drawn ones. */
static double threshold(const fl_drawn *d) { return d->n < d->room ? -(double)INFINITY : d->perturbed[d->n - 1]; }

/* Puts a token in its place: perturbed descending, then id ascending. */
static void offer(fl_drawn *d, int64_t id, double logit, double perturbed) {
    int64_t i = d->n < d->room ? d->n++ : d->room;
    for (; i > 0; i--) {
        double before = d->perturbed[i - 1];
        if (before > perturbed || (before == perturbed && d->id[i - 1] < id)) break;
        if (i == d->room) continue;
        d->id[i] = d->id[i - 1];
        d->logit[i] = d->logit[i - 1];
        d->perturbed[i] = before;
    }
    if (i == d->room) return;
    d->id[i] = id;
    d->logit[i] = logit;
    d->perturbed[i] = perturbed;
}

/* Offers a token unless a bound tells that it is too small. */
static void consider(const fl_job *j, fl_drawn *d, noise *z, int64_t id, double logit) {
    int64_t token = j->in->offset + id, lane = lane_of(token), place = token / FL_LANES % FL_LANES;
    double least = threshold(d);
    if (!(logit >= -DBL_MAX)) return;
    double above = logit - d->base;
    if (z->lane != lane) {
        if (above + bound_of(least_wait_of(word(z, BLOCKS, token / FL_BLOCK)) / FL_BLOCK) < least) return;
        if (above + bound_of(least_lane_wait(z, lane)) < least) return;
    }
    double wait = lane_wait(z, lane);
    if (place != (int64_t)(word(z, LANES, lane) % FL_LANES)) {
        uint64_t w = word(z, TOKENS, lane * FL_LANES + place);
        if (above + bound_of(wait + least_wait_of(w)) < least) return;
        wait += wait_of(w);
    }
    offer(d, id, logit, above - fl_log(wait));
}

/* The most noise there is: the least wait is 2^-53 / 256. */
static const double most_noise = 61 * FL_LN2 + 1e-9;

static void search_list(fl_job *j, fl_drawn *d, int64_t number) {
    const fl_cands *c = &j->list;
    noise z = noise_of(j, number);
    for (int64_t i = 0; i < c->n && (c->logit[i] - d->base) + most_noise >= threshold(d); i++)
        consider(j, d, &z, c->id[i], c->logit[i]);
}

/* What no logit behind the head, counted from the base, exceeds where these are the largest values. */
static void tops_of(const fl_job *j, const fl_dense *dense, const float *largest, int64_t n, double base,
                    double *tops) {
    for (int64_t i = 0; i < n; i++) tops[i] = (double)largest[i];
    fl_head_values(j->k, &j->program, tops, n);
    /* Smoothing raises what lies near the top; it keeps the order. */
    for (int64_t i = 0; dense->smooth && i < n; i++) tops[i] = fl_smoothed(dense->smooth, tops[i], j->top);
    for (int64_t i = 0; j->row.wide && i < n; i++) {
        if (largest[i] >= -FLT_MAX) tops[i] += fabs(tops[i]) * 0x1p-22 + 0x1p-140;
        if (largest[i] == FLT_MAX) tops[i] = (double)INFINITY;
    }
    for (int64_t i = 0; i < n; i++) tops[i] -= base;
}

/* What no token of a block exceeds. Blocks of the row may lie across two blocks of the vocabulary. */
static int bound_blocks(fl_job *j, const fl_dense *dense, double base, noise *z, int64_t blocks, double *bounds) {
    float *tops = fl_buffer(j->s, FL_BUF_GROUPS, (size_t)blocks * sizeof(float));
    if (!tops) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    j->k->block_tops(j->gmax, blocks * FL_LANES, tops);
    tops_of(j, dense, tops, blocks, base, bounds);
    for (int64_t b = 0; b < blocks; b++) {
        int64_t first = j->in->offset + b * FL_BLOCK;
        double wait = least_wait_of(word(z, BLOCKS, first / FL_BLOCK));
        if (first % FL_BLOCK) {
            double other = least_wait_of(word(z, BLOCKS, first / FL_BLOCK + 1));
            wait = other < wait ? other : wait;
        }
        bounds[b] += bound_of(wait / FL_BLOCK);
    }
    return FL_OK;
}

static void search_block(fl_job *j, const fl_dense *dense, fl_drawn *d, noise *z, int64_t b) {
    double tops[FL_LANES];
    tops_of(j, dense, j->gmax + b * FL_LANES, FL_LANES, d->base, tops);
    int64_t whole = (j->in->offset + b * FL_BLOCK) / FL_BLOCK,
            next = (j->in->offset + b * FL_BLOCK + FL_BLOCK - 1) / FL_BLOCK;
    double wait = block_wait(z, next);
    wait = block_wait(z, whole) < wait ? block_wait(z, whole) : wait;
    for (int64_t l = 0; l < FL_LANES; l++) {
        int64_t first = b * FL_BLOCK + l, token = j->in->offset + first, lane = lane_of(token),
                other = lane_of(token + FL_BLOCK - FL_LANES);
        double least = threshold(d);
        if (!(tops[l] >= -DBL_MAX) || tops[l] + bound_of(wait) < least) continue;
        if (tops[l] + bound_of(least_lane_wait(z, lane)) < least &&
            (other == lane || tops[l] + bound_of(least_lane_wait(z, other)) < least))
            continue;
        for (int64_t id = first; id < j->row.n && id < first + FL_BLOCK; id += FL_LANES)
            if (fl_is_live(j->live, id)) consider(j, d, z, id, fl_dense_logit(j, dense, id));
    }
}

/* Edited tokens first: they have no part in the group maxima. Then the block of the largest bound, then all that may
 * still hold a larger one; by falling bounds where many tokens are drawn. */
static int search_dense(fl_job *j, const fl_dense *dense, fl_drawn *d, int64_t number) {
    int64_t blocks = (j->row.n + FL_BLOCK - 1) / FL_BLOCK, best = 0;
    noise z = noise_of(j, number);
    double *bounds = fl_buffer(j->s, FL_BUF_NOISE, (size_t)blocks * (sizeof(double) + sizeof(int32_t)));
    if (!bounds) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    int32_t *order = (int32_t *)(void *)(bounds + blocks);
    int status = bound_blocks(j, dense, d->base, &z, blocks, bounds);
    if (status) return status;
    for (int64_t i = 0; i < j->edits.n; i++) {
        int64_t id = j->edits.id[i];
        consider(j, d, &z, id, fl_dense_logit(j, dense, id));
    }
    if (d->room > 1 && fl_sort_descending(j->k, j->s, bounds, blocks, order)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    for (int64_t b = 1; b < blocks; b++) best = bounds[b] > bounds[best] ? b : best;
    if (d->room == 1) search_block(j, dense, d, &z, best);
    for (int64_t i = 0; i < blocks; i++) {
        int64_t b = d->room > 1 ? order[i] : i;
        if (bounds[b] >= threshold(d) && (d->room > 1 || b != best)) search_block(j, dense, d, &z, b);
    }
    return FL_OK;
}

/* One token at a time into d, or all without replacement. */
static int search_all(fl_job *j, const fl_dense *dense) {
    fl_drawn *all = &j->drawn;
    int64_t times = j->out->distinct ? 1 : all->room, room = j->out->distinct ? all->room : 1;
    all->base = base_of(dense ? j->top : j->list.logit[0]);
    if (j->out->bases) j->out->bases[j->r] = all->base;
    for (int64_t i = 0; i < times; i++) {
        fl_drawn d = {.room = room,
                      .base = all->base,
                      .id = all->id + i,
                      .logit = all->logit + i,
                      .perturbed = all->perturbed + i};
        int status = fl_stopped(j->s) ? fl_fail(j, FL_NO_MEMORY, -1, 0) : FL_OK;
        if (status) return status;
        if (dense)
            status = search_dense(j, dense, &d, i);
        else
            search_list(j, &d, i);
        if (status) return status;
        if (!d.n) return fl_fail(j, FL_CHANGED, -1, 0); /* no token is finite any longer */
        all->n += d.n;
    }
    return FL_OK;
}

int fl_gumbel_list(fl_job *j) { return search_all(j, NULL); }
int fl_gumbel_dense(fl_job *j, const fl_dense *d) { return search_all(j, d); }

int fl_gumbel_alone(const fl_job *j) {
    const fl_results *o = j->out;
    return j->gumbel && !j->parts_n && o->ids && fl_only_ids(j) && !o->probs && !o->logits && !o->listing;
}
