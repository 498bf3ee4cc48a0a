/* candidates.c: the candidate list: room, order, masses. */
#include "tokens/candidates.h"
#include <float.h>
#include <string.h>
#include "base/math.h"
#include "kernels/exp_args.h"
#include "rows/sort.h"

int fl_cands_room(fl_cands *c, int64_t room) {
    room = (room + 15) / 8 * 8;
    char *p = fl_buffer(c->s, FL_BUF_CANDS, (size_t)room * (3 * sizeof(double) + 4 * sizeof(int32_t)));
    if (!p) return FL_NO_MEMORY;
    c->raw_logit = (double *)(void *)p;
    c->logit = c->raw_logit + room;
    c->mass = c->logit + room;
    c->raw_id = (int32_t *)(void *)(c->mass + room);
    c->id = c->raw_id + room;
    c->pos = c->id + room;
    c->order = c->pos + room;
    return FL_OK;
}

void fl_cands_drop_banned(fl_cands *c) {
    while (c->n && c->logit[c->n - 1] < -DBL_MAX) c->n--;
}

int fl_cands_sort(fl_cands *c) {
    if (c->raw && fl_sort_descending(c->k, c->s, c->raw_logit, c->raw, c->pos)) return FL_NO_MEMORY;
    for (int64_t i = 0; i < c->raw; i++) {
        c->logit[i] = c->raw_logit[c->pos[i]];
        c->id[i] = c->raw_id[c->pos[i]];
    }
    c->n = c->raw;
    c->known = 0;
    fl_cands_drop_banned(c);
    return FL_OK;
}

const double *fl_cands_masses(fl_cands *c, int64_t n) {
    if (c->known >= n) return c->mass;
    int64_t more = c->n - c->known < 256 || n == c->n ? c->n - c->known : n - c->known + 255;
    more = c->known + more > c->n ? c->n - c->known : more;
    fl_exp64_args args = fl_exp64_args_of(1.0, c->logit[0], 0);
    c->k->list_exp(c->logit + c->known, more, &args, c->mass + c->known);
    c->known += more;
    return c->mass;
}

double fl_cands_total(fl_cands *c) {
    const double *mass = fl_cands_masses(c, c->n);
    double low, total = fl_sum(mass, c->n, &low);
    return total + low;
}

void fl_cands_keep(fl_cands *c, int64_t n) {
    if (n < c->n) c->n = n > 0 ? n : 0;
    if (c->known > c->n) c->known = c->n;
}

void fl_cands_join(fl_cands *c) {
    if (c->joint_total > 0) return;
    const double *mass = fl_cands_masses(c, c->n);
    c->joint_total = c->total > 0 ? c->total : fl_cands_total(c);
    c->total = 0;
    for (int64_t i = 0; i < c->n; i++) c->joint[c->pos[i]] = mass[i];
}

double fl_cands_entropy(fl_cands *c) {
    if (c->total > 0) return c->entropy;
    const double *mass = fl_cands_masses(c, c->n);
    double total = fl_cands_total(c), sum = 0;
    for (int64_t i = c->n - 1; i >= 0; i--) sum += mass[i] * (c->logit[0] - c->logit[i]);
    return fl_log(total) + sum / total;
}

void fl_cands_compact(fl_cands *c, const int32_t *keep) {
    int64_t n = 0;
    for (int64_t i = 0; i < c->n; i++) {
        if (!keep[i]) continue;
        c->id[n] = c->id[i];
        c->pos[n] = c->pos[i];
        c->logit[n] = c->logit[i];
        n++;
    }
    c->n = n;
    c->known = 0; /* masses count from the first, which may have gone */
}

/* The alive tokens that are not banned in order of their place in raw, which is by id; pos and logit too. */
static int64_t by_place(fl_cands *c) {
    int64_t n = 0;
    int32_t *at = c->order, *id = (int32_t *)(void *)c->mass, *pos = id + c->n;
    for (int64_t p = 0; p < c->raw; p++) at[p] = -1;
    for (int64_t i = 0; i < c->n; i++)
        if (c->logit[i] >= -DBL_MAX) at[c->pos[i]] = (int32_t)i;
    for (int64_t p = 0; p < c->raw; p++) {
        if (at[p] < 0) continue;
        id[n] = c->id[at[p]];
        at[n] = at[p]; /* n <= p */
        pos[n++] = (int32_t)p;
    }
    memcpy(c->id, id, (size_t)n * sizeof(int32_t));
    memcpy(c->pos, pos, (size_t)n * sizeof(int32_t));
    for (int64_t i = 0; i < n; i++) c->mass[i] = c->logit[at[i]];
    memcpy(c->logit, c->mass, (size_t)n * sizeof(double));
    return n;
}

int fl_cands_resort(fl_cands *c) {
    int64_t n = c->n = by_place(c);
    c->known = 0;
    if (!n) return FL_ALL_BANNED;
    if (fl_sort_descending(c->k, c->s, c->logit, n, c->order)) return FL_NO_MEMORY;
    int32_t *moved = (int32_t *)(void *)c->mass;
    for (int64_t i = 0; i < n; i++) moved[i] = c->id[c->order[i]];
    memcpy(c->id, moved, (size_t)n * sizeof(int32_t));
    for (int64_t i = 0; i < n; i++) moved[i] = c->pos[c->order[i]];
    memcpy(c->pos, moved, (size_t)n * sizeof(int32_t));
    for (int64_t i = 0; i < n; i++) c->mass[i] = c->logit[c->order[i]];
    memcpy(c->logit, c->mass, (size_t)n * sizeof(double));
    return FL_OK;
}
