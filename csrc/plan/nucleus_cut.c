/* nucleus_cut.c: a large nucleus as a cut of the dense row, found by a few passes over the kept exponentials. Nothing is
 * sorted but the tokens around the cut. */
#include "plan/nucleus.h"
#include <float.h>
#include <math.h>
#include <string.h>
#include "base/bits.h"
#include "kernels/exp_args.h"
#include "plan/collect.h"
#include "rows/sort.h"

enum { SAMPLE_BLOCKS = 8, BRACKET = 704 };

/* Largest threshold (to 2^-10) at which the sample's mass still reaches `mass`. */
static float sample_threshold(const fl_kernels *k, const float *sample, int64_t n, double mass) {
    uint32_t hi = fl_bits(k->row_max[FL_F32](sample, n)) + 1, lo = hi > 32u << 23 ? hi - (32u << 23) : 0;
    if (k->mass_ge(sample, n, fl_float(lo)) < mass) lo = 0;
    while (hi - lo > 1u << 13) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (k->mass_ge(sample, n, fl_float(mid)) >= mass)
            lo = mid;
        else
            hi = mid;
    }
    return fl_float(lo);
}

typedef struct {
    float lo, hi; /* thresholds: mass(lo) >= target > mass(hi) */
    double mass_lo, mass_hi;
    float *above, *spare; /* group sums of the row's e >= hi, and room for another such */
} bracket;

static int narrow_enough(const bracket *b) {
    return b->mass_lo - b->mass_hi <= BRACKET * (double)b->lo || (double)b->hi <= (double)b->lo * (1.0 + 0x1p-10);
}

/* Closes in on the threshold with full passes guided by a sample of eight blocks. */
static int find_bracket(fl_job *j, const fl_mass *m, const float *edited, int64_t count, double target, bracket *b) {
    const fl_kernels *k = j->k;
    int64_t n = j->row.n, groups = fl_groups(n), blocks = n / FL_BLOCK, sampled = 0;
    float *sample = fl_buffer(j->s, FL_BUF_GROUPS, (size_t)(SAMPLE_BLOCKS * FL_BLOCK + groups) * sizeof(float));
    if (!sample || blocks < SAMPLE_BLOCKS) return -1;
    for (int i = 0; i < SAMPLE_BLOCKS; i++, sampled += FL_BLOCK)
        memcpy(sample + sampled, m->e + blocks * i / SAMPLE_BLOCKS * FL_BLOCK, FL_BLOCK * sizeof(float));
    double all = fl_mass_total(m) + k->mass_ge(edited, count, 0), ratio = k->mass_ge(sample, sampled, 0) / all;
    float t = sample_threshold(k, sample, sampled, target * ratio);
    *b = (bracket){.hi = fl_float(0x7f800000), .mass_lo = all, .above = m->gsum};
    b->spare = sample + SAMPLE_BLOCKS * FL_BLOCK;
    memset(b->above, 0, (size_t)groups * sizeof(float));
    for (int i = 0; i < 24 && !narrow_enough(b); i++) {
        /* Many equal values: the sample has nothing between; look right above them. */
        if (!(t > b->lo && t < b->hi)) t = b->lo * (1.0f + 0x1p-11f);
        if (!(t > b->lo && t < b->hi) || i > 8) t = fl_float(fl_bits(b->lo) + (fl_bits(b->hi) - fl_bits(b->lo)) / 2);
        double mass = k->mass_groups(m->e, n, t, b->spare) + k->mass_ge(edited, count, t);
        j->trace.passes++;
        if (mass >= target) {
            b->lo = t;
            b->mass_lo = mass;
        } else {
            float *swap = b->above;
            *b = (bracket){b->lo, t, b->mass_lo, mass, b->spare, swap};
        }
        double step = BRACKET * 0.18 * (double)t, miss = target - mass;
        if (b->lo > 0 && b->mass_hi > 0) {
            /* Both sides known: between them the mass is nearly linear; land close on either side of the target. */
            double aim = b->mass_lo - target <= 2 * step ? target - step : target + step;
            t = (float)((double)b->lo + ((double)b->hi - b->lo) * (b->mass_lo - aim) / (b->mass_lo - b->mass_hi));
        } else {
            /* The sample's own mass at t tells its error there; aim past the target to close the other side. */
            double past = 0.3 * fabs(miss) + step;
            t = sample_threshold(k, sample, sampled,
                                 k->mass_ge(sample, sampled, t) + (miss + (miss > 0 ? past : -past)) * ratio);
        }
    }
    return narrow_enough(b) ? 0 : -1;
}

/* A single value fills the bracket, its exponential below hi: the cut lies among its equals, at the nth of them by id. */
static int cut_among_equals(fl_job *j, float low, float high, float hi, double missing, fl_dense *d) {
    const fl_kernels *k = j->k;
    const fl_row *row = &j->row;
    int64_t n = row->n, first = k->row_nth[row->dtype](row->x, n, j->live, low, high, 0);
    if (first >= n || d->mass.e[first] >= hi) return -1;
    float value = (float)fl_row_value(row, first), after = fl_float_after(value);
    int64_t inside =
        k->row_count[row->dtype](row->x, n, j->live, low) - k->row_count[row->dtype](row->x, n, j->live, high);
    int64_t equal =
        k->row_count[row->dtype](row->x, n, j->live, value) - k->row_count[row->dtype](row->x, n, j->live, after);
    double logit = fl_head_value(&j->program, (double)value), each = fl_mass_of_logit(&d->mass, logit);
    if (!(each > 0 && missing / each < 0x1p60)) return -1;
    int64_t keep = (int64_t)(missing / each);
    keep += (double)keep * each < missing;
    for (int64_t i = 0; i < j->edits.n; i++)
        if (j->edits.logit[i] >= fl_head_value(&j->program, (double)low) &&
            j->edits.logit[i] < fl_head_value(&j->program, (double)high))
            return -1;
    if (inside != equal || keep < 1 || keep > equal) return -1;
    d->cut_logit = logit;
    d->cut_id = k->row_nth[row->dtype](row->x, n, j->live, low, high, keep - 1);
    if (d->cut_id >= n) return -1;
    d->split = d->cut_id / FL_BLOCK * FL_BLOCK;
    d->low = low;
    d->high = high;
    /* The equals in the block of the cut. */
    fl_cands *c = &j->list;
    *c = (fl_cands){.k = k, .s = j->s, .edits = &j->edits};
    if (fl_cands_room(c, FL_BLOCK)) return FL_NO_MEMORY;
    for (int64_t id = d->split; id <= d->cut_id; id++)
        if (fl_row_value(row, id) == (double)value && fl_is_live(j->live, id)) c->raw_id[c->raw++] = (int32_t)id;
    d->extra = c->raw_id;
    d->extra_n = c->raw;
    return FL_OK;
}

enum { BUCKETS = 256 };

/* The bucket of a logit in [low, high): ascending buckets hold descending logits. */
static int64_t bucket_of(double logit, double high, double scale) {
    double at = (high - logit) * scale;
    return at < 0 ? 0 : at < BUCKETS - 1 ? (int64_t)at : BUCKETS - 1;
}

/* The kept ones of the list, raw[0 .. n - 1] with masses in units of the top's: whole buckets while they stay below the
 * target, then token by token. Returns how many entries of extra are filled, -1 if the target is not reached. */
static int64_t walk_buckets(fl_job *j, double high, double scale, double sum, double target, fl_dense *d) {
    fl_cands *c = &j->list;
    double sums[BUCKETS] = {0};
    int64_t last = 0, inside = 0, keep = 0, count = 0;
    int32_t *extra = c->order;
    for (int64_t i = 0; i < c->raw; i++) sums[bucket_of(c->raw_logit[i], high, scale)] += c->mass[i];
    for (; last < BUCKETS && sum + sums[last] < target; last++) sum += sums[last];
    if (last == BUCKETS) return -1;
    for (int64_t i = 0; i < c->raw; i++) {
        int64_t bucket = bucket_of(c->raw_logit[i], high, scale);
        if (bucket < last) extra[count++] = c->raw_id[i];
        c->raw_id[inside] = c->raw_id[i];
        c->raw_logit[inside] = c->raw_logit[i];
        c->mass[inside] = c->mass[i];
        inside += bucket == last;
    }
    c->raw = inside;
    if (fl_sort_descending(c->k, c->s, c->raw_logit, inside, c->pos)) return -1;
    while (keep < inside && sum < target) {
        sum += c->mass[c->pos[keep]];
        extra[count++] = c->raw_id[c->pos[keep++]];
    }
    if (sum < target || keep == 0) return -1;
    d->cut_logit = c->raw_logit[c->pos[keep - 1]];
    d->cut_id = c->raw_id[c->pos[keep - 1]];
    return count;
}

/* Takes from the list what the sums of e >= hi hold already. */
static void drop_counted(fl_cands *c, const float *e, float hi, float *values) {
    int64_t kept = 0;
    for (int64_t i = 0; i < c->raw; i++) {
        c->raw_id[kept] = c->raw_id[i];
        values[kept] = values[i];
        kept += e[c->raw_id[i]] < hi;
    }
    c->raw = kept;
}

/* The smallest float whose head value reaches the cut, and the next one, as ends of the survivors before and from the
 * block of the cut on. */
static void set_ends(const fl_job *j, fl_dense *d) {
    d->low = fl_exact_value(j, d->cut_logit, 0);
    d->high = d->low < FLT_MAX ? fl_float_after(d->low) : d->low;
    d->split = d->cut_id / FL_BLOCK * FL_BLOCK;
    if (fl_head_value(&j->program, (double)d->low) > d->cut_logit) d->high = d->low;
}

/* Lists the tokens of the bracket, edited ones too, and walks them in order until the target is reached. Fails with -1
 * where the cut comes so close to the upper end that e and logits may order tokens differently. */
static int cut_in_list(fl_job *j, const bracket *b, float low, float high, int64_t room, double above, double target,
                       fl_dense *d) {
    fl_cands *c = &j->list;
    *c = (fl_cands){.k = j->k, .s = j->s, .edits = &j->edits};
    if (fl_cands_room(c, room + FL_LANES + j->edits.n)) return FL_NO_MEMORY;
    float *values = (float *)(void *)c->logit;
    c->raw = j->k->row_collect[j->row.dtype](j->row.x, j->row.n, j->live, j->gmax, low, high, INT64_MAX, room,
                                             c->raw_id, values);
    if (c->raw < 0) return -1;
    drop_counted(c, d->mass.e, b->hi, values);
    for (int64_t i = 0; i < c->raw; i++)
        c->raw_logit[i] = j->row.blend ? fl_row_value(&j->row, c->raw_id[i]) : (double)values[i];
    fl_head_values(j->k, &j->program, c->raw_logit, c->raw);
    double level_low = fl_head_value(&j->program, (double)low), level_high = fl_head_value(&j->program, (double)high);
    if (fl_join_edited(j, level_low, level_high)) return FL_NO_MEMORY;
    fl_exp64_args args = fl_exp64_args_of(1.0, j->top, 0);
    double unit = fl_mass_of_logit(&d->mass, j->top), margin;
    c->k->list_exp(c->raw_logit, c->raw, &args, c->mass);
    int64_t count = walk_buckets(j, level_high, BUCKETS / (level_high - level_low), above / unit, target / unit, d),
            kept = 0;
    double upper = fl_mass_value(&d->mass, (double)b->hi, &margin) - margin;
    if (count < 0 || (b->hi <= FLT_MAX && d->cut_logit >= fl_head_value(&j->program, upper))) return -1;
    set_ends(j, d);
    for (int64_t i = 0; i < count; i++) {
        int32_t id = c->order[i];
        c->order[kept] = id;
        kept += fl_edits_find(&j->edits, id) < 0;
    }
    d->extra = c->order;
    d->extra_n = kept;
    return FL_OK;
}

int fl_nucleus_cut(fl_job *j, double target, fl_dense *d) {
    fl_mass *m = &d->mass;
    double unit = fl_mass_of_logit(m, j->top), margin;
    int64_t count, n = j->row.n;
    bracket b;
    target *= unit;
    if (!(target > 0 && target < 0x1p120)) return -1;
    float *edited = fl_edited_floats(j, unit, &count);
    if (!edited || find_bracket(j, m, edited, count, target, &b)) return -1;
    double v = fl_mass_value(m, (double)b.lo, &margin);
    float low = (float)(v - margin);
    v = fl_mass_value(m, (double)b.hi, &margin);
    float high = (float)(v + margin);
    if (!(high <= FLT_MAX)) high = FLT_MAX;
    double level = fl_head_value(&j->program, (double)high), above = 0;
    for (int64_t i = 0; i < count; i++) above += j->edits.logit[i] >= level ? j->edited_mass[i] * unit : 0;
    const fl_row *row = &j->row;
    m->gsum = b.above;
    above += j->k->sum_all(m->gsum, fl_groups(n));
    if (above >= target) return -1;
    double inside = (b.mass_lo - b.mass_hi) / (double)b.lo;
    int64_t room = inside >= 0 && inside < 3 * BRACKET ? (int64_t)inside + BRACKET : 4 * BRACKET;
    int equals = 0, status = cut_in_list(j, &b, low, high, room, above, target, d);
    if (status == -1) {
        status = cut_among_equals(j, low, high, b.hi, target - above, d);
        equals = status == FL_OK;
    }
    if (status == -1) status = cut_in_list(j, &b, low, high, n, above, target, d);
    if (status) return status;
    /* Before the split its equals count too; kept exponentials are wanted for probabilities alone. */
    int64_t size = fl_value_size(row->dtype), split = d->split;
    if (equals && split) j->k->row_cut_mass[row->dtype](row->x, m->e, split, d->low, m->gsum, NULL);
    if (j->out->probs) {
        const char *rest = (const char *)row->x + split * size;
        if (split) j->k->row_cut_mass[row->dtype](row->x, m->e, split, d->low, b.spare, m->e);
        j->k->row_cut_mass[row->dtype](rest, m->e + split, n - split, d->high, b.spare, m->e + split);
    }
    return fl_dense_sums(j, d) ? FL_NO_MEMORY : FL_OK;
}
