/* nucleus_floor.c: a floor for a short list, where the nucleus of a full row is small. */
#include "plan/nucleus.h"
#include <float.h>
#include <string.h>
#include "base/math.h"
#include "plan/collect.h"

enum { LIST_GROUPS = 1024 };

/* Edited tokens above the row's own top may hold the whole nucleus. */
static int edited_nucleus(const fl_job *j, double live_top, double target) {
    double sum = 0;
    for (int64_t i = 0; i < j->edits.n; i++) sum += j->edits.logit[i] > live_top ? j->edited_mass[i] : 0;
    return sum >= target * (1.0 + 1e-9);
}

/* The largest power-of-2 step below the top at which leaders and edited tokens together reach `need`, 0 if none. */
static double leaders_threshold(const fl_kernels *k, const float *leaders, int64_t n, const float *edited,
                                int64_t count, double need) {
    double t = (double)k->row_max[FL_F32](leaders, n);
    if (!(k->sum_all(leaders, n) + k->sum_all(edited, count) >= need)) return 0;
    for (int i = 0; i < 30; i++) {
        t *= 0.125;
        if (k->mass_ge(leaders, n, (float)t) + k->mass_ge(edited, count, (float)t) < need) continue;
        for (int half = 0; half < 2; half++)
            if (k->mass_ge(leaders, n, (float)(2 * t)) + k->mass_ge(edited, count, (float)(2 * t)) >= need) t *= 2;
        return t;
    }
    return 0;
}

/* a 2^-n, 0 <= n < 1000, a and the result normal or 0. */
static double ldexp_down(double a, int n) {
    double scale;
    uint64_t u = (uint64_t)(1023 - n) << 52;
    memcpy(&scale, &u, 8);
    return a * scale;
}

static float value_floor(const fl_mass *m, double t) {
    double margin, v = fl_mass_value(m, t, &margin);
    return v - margin < -(double)FLT_MAX ? -FLT_MAX : (float)(v - margin);
}

/* Groups that reach a threshold hold all that lies above it, and more: where even their whole mass falls short, so does
 * the nucleus. The first threshold at which it suffices is a guess that the list must confirm. */
static int guess_from_groups(fl_job *j, const fl_mass *m, const float *edited, int64_t count, double need,
                             float *floor) {
    const fl_kernels *k = j->k;
    int64_t groups = fl_groups(j->row.n);
    float *sums = fl_buffer(j->s, FL_BUF_GROUPS, (size_t)fl_groups(groups) * sizeof(float));
    if (!sums || groups == 0) return 0;
    /* Bisection over the powers of 4 below the top: the highest that suffices. */
    int none = 0, enough = 25;
    while (enough - none > 1) {
        int at = (none + enough) / 2;
        double t = ldexp_down(fl_mass_of_logit(m, j->top), 2 * at);
        k->row_cut_mass[FL_F32](m->gmax, m->gsum, groups, value_floor(m, t), sums, NULL);
        double mass = t > 0x1p-90 ? k->sum_all(sums, fl_groups(groups)) + k->mass_ge(edited, count, (float)t) : need;
        *(mass < need ? &none : &enough) = at;
    }
    double t = ldexp_down(fl_mass_of_logit(m, j->top), 2 * enough);
    if (enough == 25 || !(t > 0x1p-90)) return 0;
    *floor = value_floor(m, t);
    return k->count_ge(m->gmax, groups, *floor) <= LIST_GROUPS ? FL_FLOOR_GUESSED : 0;
}

/* Every super-group holds its maximum: where these leaders alone reach the target, so does the row. */
int fl_nucleus_floor(fl_job *j, const fl_mass *m, double target, float *floor) {
    int64_t groups = fl_groups(j->row.n), supers = fl_supers(j->row.n), count;
    double unit = fl_mass_of_logit(m, j->top), need = target * unit * (1.0 + 1e-6);
    if (edited_nucleus(j, fl_head_value(&j->program, m->top), target)) {
        *floor = fl_value_below(j, fl_head_value(&j->program, m->top));
        return FL_FLOOR_SURE;
    }
    if (m->gsum64 || !(unit * target < 0x1p120)) return 0;
    float *tops = fl_buffer(j->s, FL_BUF_SMAX, (size_t)(supers * 2 + fl_supers(groups)) * sizeof(float));
    float *leaders = tops + supers;
    float *edited = fl_edited_floats(j, unit, &count);
    if (!tops || !edited) return 0;
    j->k->row_scan[FL_F32](m->gmax, groups, NULL, tops, leaders + supers); /* groups of groups are super-groups */
    j->k->group_exp(tops, supers, &m->args, leaders);
    double t = leaders_threshold(j->k, leaders, supers, edited, count, need);
    if (t > 0x1p-100) {
        *floor = value_floor(m, t);
        if (j->k->count_ge(m->gmax, groups, *floor) <= LIST_GROUPS) return FL_FLOOR_SURE;
    }
    return guess_from_groups(j, m, edited, count, need, floor);
}

int fl_nucleus_lower(fl_job *j, const fl_mass *m, float *floor) {
    double lower = (double)*floor - m->temperature * 2.0794415416798357; /* ln 8 */
    *floor = lower > -(double)FLT_MAX ? (float)lower : -FLT_MAX;
    return j->k->count_ge(m->gmax, fl_groups(j->row.n), *floor) <= LIST_GROUPS;
}
