/* typical_band.c: typical-p where its tokens are too many for a list. They lie within a distance of the logit whose surprise is
 * the entropy. A few passes over kept exponentials close in on the distance; only the tokens next to it are sorted. */
#include "plan/typical_band.h"

#include <float.h>
#include <string.h>

#include "base/math.h"
#include "kernels/exp_args.h"
#include "plan/collect.h"

enum { SAMPLED = 16, SHELL = 704, ROOM = 8 * SHELL };

/* Masses are in the unit of the group sums, distances in logits. */
typedef struct {
    const fl_mass *m;
    double middle, unit, target;
    double in, out, mass_in, mass_out; /* mass within `in` < target <= mass within `out` */
} band;

/* exp(logit) in the unit of the kept exponentials, as a float. */
static float mass_at(const band *b, double logit) {
    double e = fl_mass_of_logit(b->m, logit);
    return e < (double)FLT_MAX ? (float)e : FLT_MAX;
}

static double mass_within(const fl_job *j, const band *b, const float *e, int64_t n, double distance) {
    return j->k->mass_between(e, n, mass_at(b, b->middle - distance), mass_at(b, b->middle + distance));
}

static double edited_within(const fl_job *j, const band *b, double distance) {
    double sum = 0;
    for (int64_t i = 0; i < j->edits.n; i++)
        if (fabs(j->edits.logit[i] - b->middle) <= distance) sum += j->edited_mass[i] * b->unit;
    return sum;
}

/* The distance within which the sample has that mass. */
static double sample_distance(const fl_job *j, const band *b, const float *sample, int64_t n, double mass) {
    double low = 0, high = b->out;
    for (int i = 0; i < 18; i++) {
        double mid = 0.5 * (low + high);
        *(mass_within(j, b, sample, n, mid) < mass ? &low : &high) = mid;
    }
    return high;
}

/* What a bracket of that many tokens, each with a mass like that of the least, may hold. */
static double shell_mass(const band *b) { return SHELL * fl_mass_of_logit(b->m, b->middle - b->out); }

/* Closes in on the distance with full passes guided by a sample of the row. 0, or -1. */
static int find_bracket(fl_job *j, band *b) {
    int64_t n = j->row.n, blocks = n / FL_BLOCK, sampled = SAMPLED * FL_BLOCK;
    float *sample = fl_buffer(j->s, FL_BUF_GROUPS, (size_t)sampled * sizeof(float));
    if (!sample || blocks < SAMPLED) return -1;
    for (int i = 0; i < SAMPLED; i++)
        memcpy(sample + i * FL_BLOCK, b->m->e + blocks * i / SAMPLED * FL_BLOCK, FL_BLOCK * sizeof(float));
    b->in = b->mass_in = 0;
    b->out = 80.0;
    b->mass_out = fl_mass_total(b->m) + edited_within(j, b, b->out); /* what lies beyond has no mass to speak of */
    double ratio = mass_within(j, b, sample, sampled, b->out) / b->mass_out;
    double d = sample_distance(j, b, sample, sampled, b->target * ratio);
    for (int i = 0; i < 12 && b->mass_out - b->mass_in > shell_mass(b); i++) {
        if (!(d > b->in && d < b->out) || i > 6) d = 0.5 * (b->in + b->out);
        double mass = mass_within(j, b, b->m->e, n, d) + edited_within(j, b, d), miss = b->target - mass;
        int inside = mass < b->target, known = b->in > 0 && b->out < 80.0;
        *(inside ? &b->in : &b->out) = d;
        *(inside ? &b->mass_in : &b->mass_out) = mass;
        j->trace.passes++;
        double step = 0.3 * SHELL * fl_mass_of_logit(b->m, b->middle - d);
        if (known || (b->in > 0 && b->out < 80.0)) {
            /* Between the two the mass is nearly linear: land close to the target, beyond it. */
            double aim = b->target + (b->target - b->mass_in > 2 * step ? -step : step);
            d = b->in + (b->out - b->in) * (aim - b->mass_in) / (b->mass_out - b->mass_in);
        } else {
            /* The sample's own mass at d tells its error there; aim past the target to close the other side. */
            double past = 0.2 * fabs(miss) + step, own = mass_within(j, b, sample, sampled, d);
            d = sample_distance(j, b, sample, sampled, own + (miss + (miss > 0 ? past : -past)) * ratio);
        }
    }
    return b->in > 0 && b->out < 80.0 && b->mass_out - b->mass_in <= 2 * shell_mass(b) ? 0 : -1;
}

/* The tokens with low <= logit < high join the list, those that the inner mass holds excepted. 0, or -1. */
static int collect_shell(fl_job *j, const band *b, double low, double high) {
    fl_cands *c = &j->list, whole = *c;
    float *values = (float *)(void *)c->logit, least = mass_at(b, b->middle - b->in);
    float most = mass_at(b, b->middle + b->in);
    const fl_row *row = &j->row;
    c->raw_id += whole.raw;
    c->raw_logit += whole.raw;
    c->raw = j->k->row_collect[row->dtype](row->x, row->n, j->live, j->gmax, fl_exact_value(j, low, 0),
                                           fl_exact_value(j, high, 0), INT64_MAX, ROOM / 2, c->raw_id, values);
    int64_t found = c->raw, kept = 0;
    for (int64_t i = 0; i < found; i++) {
        float e = b->m->e[c->raw_id[i]];
        c->raw_id[kept] = c->raw_id[i];
        c->raw_logit[kept] = (double)values[i];
        kept += !(e >= least && e <= most);
    }
    c->raw = kept;
    fl_head_values(j->k, &j->program, c->raw_logit, c->raw);
    if (found < 0 || fl_join_edited(j, low, high)) return -1;
    whole.raw += c->raw;
    *c = whole;
    return 0;
}

/* The tokens around the two ends of the band in their order; those of the inner mass that are edited stay out. */
static int list_shell(fl_job *j, const band *b, double margin) {
    fl_cands *c = &j->list;
    *c = (fl_cands){.k = j->k, .s = j->s, .edits = &j->edits};
    if (b->in <= 4 * margin || fl_cands_room(c, ROOM + 2 * (FL_LANES + j->edits.n))) return -1;
    double from = b->in - margin, to = b->out + margin;
    if (collect_shell(j, b, b->middle + from, b->middle + to)) return -1;
    if (collect_shell(j, b, b->middle - to, b->middle - from)) return -1;
    int64_t kept = 0;
    for (int64_t i = 0; i < c->raw; i++) {
        c->raw_id[kept] = c->raw_id[i];
        c->raw_logit[kept] = c->raw_logit[i];
        kept += fl_edits_find(&j->edits, c->raw_id[i]) < 0 || fabs(c->raw_logit[i] - b->middle) > b->in;
    }
    c->raw = kept;
    if (fl_cands_sort(c)) return -1;
    fl_exp64_args args = fl_exp64_args_of(1.0, j->top, 0);
    c->k->list_exp(c->logit, c->n, &args, c->mass);
    c->known = c->n;
    return 0;
}

/* Only the band and what the walk kept of the shell stay alive. */
static int narrow(fl_job *j, const band *b) {
    fl_cands *c = &j->list;
    int64_t n = j->row.n, words = (n + 31) / 32;
    uint16_t *live = fl_buffer(j->s, FL_BUF_BAND, (size_t)words * sizeof(uint32_t));
    if (!live) return FL_NO_MEMORY;
    j->k->mass_band(b->m->e, n, j->live, mass_at(b, b->middle - b->in), mass_at(b, b->middle + b->in), live);
    for (int64_t i = 0; i < j->edits.n; i++)
        if (!(fabs(j->edits.logit[i] - b->middle) <= b->in)) j->edits.logit[i] = -(double)INFINITY;
    for (int64_t i = 0; i < c->n; i++) {
        int64_t at = fl_edits_find(&j->edits, c->id[i]);
        if (!c->order[i]) continue;
        if (at >= 0)
            j->edits.logit[at] = c->logit[i];
        else
            live[c->id[i] / FL_LANES] |= (uint16_t)(1u << c->id[i] % FL_LANES);
    }
    j->live = live;
    return FL_OK;
}

int fl_typical_band(fl_job *j, const fl_mass *m, const fl_shape *s, const fl_step_values *v) {
    band b = {.m = m, .middle = s->top + fl_log(s->total) - s->entropy, .unit = fl_mass_of_logit(m, s->top)};
    b.target = fl_target(v, s->total) * b.unit;
    if (!m->e || v->min_keep > 1 || !(b.target > 0 && b.target < 0x1p120)) return -1;
    if (find_bracket(j, &b)) return -1;
    double margin = 4e-6 + (fabs(b.middle) + b.out) * 0x1p-20, last = 0;
    if (list_shell(j, &b, margin)) return -1;
    if (fl_typical_walk(&j->list, v, b.middle, b.mass_in / b.unit, fl_target(v, s->total), &last) < 0) return -1;
    /* Next to the inner mass, or to the end of the list, float masses and logits may order tokens differently. */
    if (last < b.in + margin || last > b.out - margin) return -1;
    return narrow(j, &b);
}
