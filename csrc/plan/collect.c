/* collect.c: from a threshold to the sorted list of what reaches it, edited tokens among them. */
#include "plan/collect.h"

#include <float.h>
#include <string.h>

#include "plan/blend.h"
#include "rows/sort.h"

float fl_value_below(const fl_job *j, double logit) {
    double v = logit * j->program.temperature;
    v -= fabs(v) * 0x1p-21 + 0x1p-140 + j->row.slack;
    if (!(v >= -(double)FLT_MAX)) return -FLT_MAX; /* also of inf - inf */
    return v > (double)FLT_MAX ? FLT_MAX : (float)v;
}

float fl_job_floor(fl_job *j, int64_t rank) {
    if (!j->row.x && rank > fl_groups(j->row.n) / 2) return -FLT_MAX; /* nothing to count in */
    float floor = fl_row_floor(j->k, j->s, &j->row, j->live, j->gmax, j->smax, rank, &j->reached);
    return j->row.blend ? fl_blend_lowered(j, floor) : floor;
}

/* Orders n ids and logits, in c->id and c->logit, by id. */
static int order_by_id(fl_cands *c, int64_t n) {
    for (int64_t i = 0; i < n; i++) c->mass[i] = -(double)c->id[i];
    if (fl_sort_descending(c->k, c->s, c->mass, n, c->order)) return -1;
    memcpy(c->mass, c->logit, (size_t)n * sizeof(double));
    memcpy(c->pos, c->id, (size_t)n * sizeof(int32_t));
    for (int64_t i = 0; i < n; i++) {
        c->id[i] = c->pos[c->order[i]];
        c->logit[i] = c->mass[c->order[i]];
    }
    return 0;
}

int fl_join_edited(fl_job *j, double low, double high) {
    fl_cands *c = &j->list;
    int64_t edited = 0, a = c->raw - 1;
    for (int64_t i = 0; i < j->edits.n; i++) {
        c->id[edited] = j->edits.id[i];
        c->logit[edited] = j->edits.logit[i];
        edited += j->edits.logit[i] >= low && j->edits.logit[i] < high;
    }
    if (edited > 1 && order_by_id(c, edited)) return -1;
    c->raw += edited;
    /* Both runs ascend: merged from their ends. */
    for (int64_t b = c->raw - 1, i = edited - 1; i >= 0; b--) {
        int from_row = a >= 0 && c->raw_id[a] > c->id[i];
        c->raw_id[b] = from_row ? c->raw_id[a] : c->id[i];
        c->raw_logit[b] = from_row ? c->raw_logit[a] : c->logit[i];
        a -= from_row;
        i -= !from_row;
    }
    return 0;
}

/* Of a list in which at most the first `rank` by logit, then id, matter, the most others leave: what is sorted is short. */
static void keep_best(fl_cands *c, int64_t rank) {
    if (c->raw <= rank + rank / 8 + 8) return;
    float *image = (float *)(void *)c->logit;
    for (int64_t i = 0; i < c->raw; i++) image[i] = (float)c->raw_logit[i];
    float floor = fl_floor_of(c->k, image, c->raw, rank);
    if (floor == -FLT_MAX) return; /* logits below the float range have no image to tell them apart */
    int64_t kept = 0;
    for (int64_t i = 0; i < c->raw; i++) {
        c->raw_id[kept] = c->raw_id[i];
        c->raw_logit[kept] = c->raw_logit[i];
        kept += image[i] >= floor;
    }
    c->raw = kept;
}

int fl_collect(fl_job *j, float floor, int64_t equals) {
    fl_cands *c = &j->list;
    int64_t n = j->row.n, passing = fl_groups_reach(j->k, j->gmax, fl_groups(n), floor, &j->reached) * FL_LANES;
    int64_t room = (passing < n ? passing : n) + FL_LANES;
    *c = (fl_cands){.k = j->k, .s = j->s, .edits = &j->edits};
    if (fl_cands_room(c, room + j->edits.n)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    if (j->row.wide || j->row.blend) equals = INT64_MAX; /* equal images are not equal values */
    float *values = (float *)(void *)c->logit;
    if (passing && !j->row.x)
        c->raw = j->k->blend_collect[j->row.dtype](j->row.blend, n, j->live, j->gmax, floor, room, c->raw_id);
    else if (passing)
        c->raw =
            j->k->row_collect[j->row.dtype](j->row.x, n, j->live, j->gmax, floor, NAN, equals, room, c->raw_id, values);
    if (c->raw < 0) return fl_fail(j, FL_CHANGED, -1, 0);
    if (equals < INT64_MAX) c->raw = fl_trim(j->k, equals, c->raw, c->raw_id, values);
    for (int64_t i = 0; i < c->raw; i++)
        c->raw_logit[i] = !j->row.blend && !j->row.wide ? (double)values[i] : fl_row_value(&j->row, c->raw_id[i]);
    for (int32_t i = 0; i < j->program.head; i++)
        if (j->program.at[i].op == FL_OP_temperature) j->k->list_divide(c->raw_logit, c->raw, j->program.at[i].value);
    double level = (double)floor - (j->row.wide ? fabs((double)floor) * 0x1p-22 + 0x1p-140 : 0.0);
    if (fl_join_edited(j, floor == -FLT_MAX ? -DBL_MAX : fl_head_value(&j->program, level), (double)INFINITY))
        return fl_fail(j, FL_NO_MEMORY, -1, 0);
    j->trace.collected = c->raw;
    if (equals < INT64_MAX) keep_best(c, equals);
    j->trace.floor = (double)floor;
    return fl_cands_sort(c) ? fl_fail(j, FL_NO_MEMORY, -1, 0) : FL_OK;
}

static int reaches(const fl_job *j, int64_t at, double logit, int above) {
    double value = fl_head_value(&j->program, (double)fl_unordered(at));
    return above ? value > logit : value >= logit;
}

/* It mostly lies a few steps above fl_value_below. Where the head rounds many floats to one value it may lie anywhere:
 * growing steps and bisection, some 60 values at most. */
float fl_exact_value(const fl_job *j, double logit, int above) {
    int64_t low = fl_ordered(fl_value_below(j, logit)), high = fl_ordered(FLT_MAX);
    if (reaches(j, low, logit, above)) {
        high = low;
        low = fl_ordered(-FLT_MAX) - 1;
    }
    for (int64_t step = 8; high - low > step; low += step, step *= 2) {
        if (!reaches(j, low + step, logit, above)) continue;
        high = low + step;
        break;
    }
    while (high - low > 1) {
        int64_t at = low + (high - low) / 2;
        *(reaches(j, at, logit, above) ? &high : &low) = at;
    }
    return fl_unordered(high);
}
