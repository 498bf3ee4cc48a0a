/* mass.c: the exponentials of a whole row: sums by group, the first maximum and the mass of all the rest.
 *
 * Float rows go through row_sumexp in one read. The exponent N comes from a guess at the maximum (16 vectors of the row)
 * and the pass is repeated only if the guess was far off. Rows outside the domain of the float exponential
 * (|x| / T >= 1e5, or an extreme T) and float64 rows go through f64_sumexp. */
#include "rows/mass.h"

/* exp((v - shift) / T) 2^-N in double, one value. */
static double mass_of(const fl_mass *m, double v) {
    double y = (v - m->args64.shift) / m->temperature;
    return fl_exp((y - (double)m->exponent * FL_LN2_HI) - (double)m->exponent * FL_LN2_LO);
}

double fl_mass_of_logit(const fl_mass *m, double logit) {
    double y = logit - m->base;
    if (m->gsum64 && y > -700.0 && y < 130.0) return fl_exp(y) * 0x1p512; /* 2^-exponent, without a rounding of y */
    return fl_exp((y - (double)m->exponent * FL_LN2_HI) - (double)m->exponent * FL_LN2_LO);
}

/* Offset of the first live value equal to top among the `count` values from id `first` on, `count` if there is none. */
static int64_t first_equal_here(const fl_kernels *k, const fl_row *row, const uint16_t *live, int64_t first,
                                int64_t count, double top) {
    const char *from = (const char *)row->x + first * fl_value_size(row->dtype);
    if (!row->wide)
        return k->row_nth[row->dtype](from, count, live ? live + first / FL_LANES : NULL, (float)top, NAN, 0);
    for (int64_t i = 0; i < count; i++)
        if (row->wide[first + i] == top && fl_is_live(live, first + i)) return i;
    return count;
}

int64_t fl_first_equal(const fl_kernels *k, const fl_row *row, const uint16_t *live, const float *gmax, double top) {
    float image = (float)top;
    int64_t groups = fl_groups(row->n);
    if (row->wide && image > FLT_MAX) image = FLT_MAX;
    if (row->wide && image < -FLT_MAX) image = -FLT_MAX;
    for (int64_t g = 0; g < groups; g += FL_LANES) {
        g += k->row_nth[FL_F32](gmax + g, groups - g, NULL, image, NAN, 0);
        if (g >= groups) break;
        g -= g % FL_LANES;
        int64_t first = g / FL_LANES * FL_BLOCK, count = row->n - first < FL_BLOCK ? row->n - first : FL_BLOCK;
        int64_t found = first_equal_here(k, row, live, first, count, top);
        if (found < count) return first + found;
    }
    return -1;
}

/* Largest double among the live values whose image is the largest image. */
double fl_wide_top(const fl_row *row, const uint16_t *live, const float *gmax, float image) {
    double top = -(double)INFINITY;
    int64_t groups = fl_groups(row->n);
    for (int64_t g = 0; g < groups; g++) {
        if (gmax[g] < image) continue;
        int64_t first = g / FL_LANES * FL_BLOCK + g % FL_LANES;
        for (int64_t id = first; id < row->n && id < first + FL_BLOCK; id += FL_LANES)
            if (row->wide[id] > top && fl_is_live(live, id)) top = row->wide[id];
    }
    return top;
}

double fl_mass_value(const fl_mass *m, double t, double *margin) {
    double v = m->temperature * (fl_log(t) + (double)m->exponent * 0x1.62e42fefa39efp-1);
    *margin = m->temperature * 0x1p-20 + fabs(v) * 0x1p-20;
    return v;
}

static int64_t top_group(const fl_mass *m) { return m->at / FL_BLOCK * FL_LANES + m->at % FL_LANES; }

/* The cut in double: -FLT_MAX leaves nothing finite out, far doubles neither. */
static double cut_of(const fl_mass *m) { return m->cut > -FLT_MAX ? (double)m->cut : -DBL_MAX; }

/* The other values of the top's group that have a mass, at most 15. */
static int64_t group_without_top(const fl_mass *m, const fl_row *row, const uint16_t *live, double *values) {
    int64_t first = m->at / FL_BLOCK * FL_BLOCK + m->at % FL_LANES, count = 0;
    for (int64_t id = first; id < row->n && id < first + FL_BLOCK; id += FL_LANES) {
        double v = fl_row_value(row, id);
        if (id != m->at && fl_is_live(live, id) && v >= cut_of(m)) values[count++] = v;
    }
    return count;
}

void fl_mass_rest_of_floats(const fl_kernels *k, fl_mass *m, int64_t groups, int64_t own, const double *values,
                            int64_t count) {
    double rest = 0;
    float kept = m->gsum[own];
    for (int64_t i = 0; i < count; i++) rest += mass_of(m, values[i]);
    m->gsum[own] = 0;
    rest += k->sum_all(m->gsum, groups);
    m->gsum[own] = kept;
    m->unit = mass_of(m, m->top);
    m->others = rest;
    m->rest = rest / m->unit;
}

/* The group sums of a double row are added with Neumaier's correction; the top and its group go through the same
 * exponential as all others. */
void fl_mass_rest_of_doubles(const fl_kernels *k, fl_mass *m, int64_t groups, int64_t own, double *values,
                             int64_t count) {
    double e[FL_LANES], sums[2 * FL_LANES], sum = 0, lost = 0;
    values[count] = m->top;
    k->f64_sumexp(values, count + 1, NULL, &m->args64, sums, e);
    m->unit = e[count];
    for (int64_t i = 0; i < count; i++) sum += e[i];
    for (int64_t g = 0; g < groups; g++) {
        double v = g == own ? 0 : m->gsum64[g], next = sum + v;
        lost += sum >= v ? (sum - next) + v : (v - next) + sum;
        lost += g == own ? 0 : m->gsum64[groups + g];
        sum = next;
    }
    m->others = sum + lost;
    m->others_low = lost - (m->others - sum);
    m->rest = m->others / m->unit;
}

enum { SHARP = 32 }; /* a group that holds more than one part in so many of the mass is summed in double */

/* One group: its sum goes into gsum, that of e (x - centre) is returned. */
static double sharp_group(const fl_kernels *k, const fl_row *row, const uint16_t *live, fl_mass *m,
                          const fl_exp64_args *args, int64_t g) {
    double values[FL_LANES], e[FL_LANES], sum = 0, first = 0;
    int64_t count = 0, from = g / FL_LANES * FL_BLOCK + g % FL_LANES;
    for (int64_t id = from; id < row->n && id < from + FL_BLOCK; id += FL_LANES)
        if (fl_is_live(live, id)) values[count++] = fl_row_value(row, id);
    k->list_exp(values, count, args, e);
    for (int64_t i = 0; i < count; i++) {
        sum += e[i];
        first += e[i] > 0 ? e[i] * (values[i] - (double)m->moments.centre) : 0;
    }
    m->gsum[g] = (float)sum;
    m->moments.first[g] = 0;
    return first;
}

/* Groups that hold much of the mass, but for the top's own. */
static void sharpen(const fl_kernels *k, const fl_row *row, const uint16_t *live, fl_mass *m) {
    int64_t groups = fl_groups(row->n), own = top_group(m);
    float much = (float)(k->sum_all(m->gsum, groups) / SHARP);
    fl_exp64_args args = fl_exp64_args_of(m->temperature, 0, m->exponent);
    for (int64_t g = 0; (g += k->row_nth[FL_F32](m->gsum + g, groups - g, NULL, much, NAN, 0)) < groups; g++)
        if (g != own) m->sharp += sharp_group(k, row, live, m, &args, g);
}

/* The mass of all but the top, from the group sums and the values beside the top. FL_OK or FL_CHANGED. */
static int rest_of_row(const fl_kernels *k, const fl_row *row, const uint16_t *live, fl_mass *m) {
    double values[FL_LANES];
    if (m->at < 0) return FL_CHANGED;
    int64_t count = group_without_top(m, row, live, values), groups = fl_groups(row->n);
    if (m->gsum64)
        fl_mass_rest_of_doubles(k, m, groups, top_group(m), values, count);
    else
        fl_mass_rest_of_floats(k, m, groups, top_group(m), values, count);
    return m->others <= DBL_MAX ? FL_OK : FL_CHANGED;
}

void fl_mass_in_doubles(fl_mass *m) {
    m->exponent = -512; /* the top has mass 2^512 */
    m->base = m->top / m->temperature;
    m->args64 = fl_exp64_args_of(m->temperature, m->top, m->exponent);
    if (cut_of(m) - m->top > m->args64.least) m->args64.least = cut_of(m) - m->top;
}

static int run_doubles(const fl_kernels *k, fl_scratch *s, const fl_row *row, const uint16_t *live, int keep,
                       fl_mass *m) {
    m->e = m->gsum = m->moments.first = NULL; /* their buffers grow below */
    int64_t groups = fl_groups(row->n);
    float *smax = fl_buffer(s, FL_BUF_SMAX, (size_t)fl_supers(row->n) * sizeof(float));
    m->gsum64 = fl_buffer(s, FL_BUF_GSUM, (size_t)groups * 2 * sizeof(double));
    m->e64 = keep & FL_KEEP_E ? fl_buffer(s, FL_BUF_E, (size_t)row->n * sizeof(double)) : NULL;
    if (!smax || !m->gsum64 || (keep & FL_KEEP_E && !m->e64)) return FL_NO_MEMORY;
    if (row->bad) return fl_row_fault(row);
    k->row_scan[FL_F32](row->x, row->n, live, m->gmax, smax);
    float image = k->row_max[FL_F32](m->gmax, groups);
    if (image == -INFINITY) return FL_NO_FINITE;
    m->top = fl_wide_top(row, live, m->gmax, image);
    m->at = fl_first_equal(k, row, live, m->gmax, m->top);
    fl_mass_in_doubles(m);
    k->f64_sumexp(row->wide, row->n, live, &m->args64, m->gsum64, m->e64);
    return rest_of_row(k, row, live, m);
}

int fl_row_fault(const fl_row *row) {
    int fault = FL_OK;
    for (int64_t i = 0; i < row->n; i++) {
        double v = fl_row_value(row, i);
        if (v != v) return FL_NAN;
        if (v > DBL_MAX) fault = FL_POS_INF;
    }
    return fault;
}

static int widened(const fl_kernels *k, fl_scratch *s, fl_row *row, const uint16_t *live, int keep, fl_mass *m) {
    if (!row->wide && fl_row_widen(s, k, row)) return FL_NO_MEMORY;
    return run_doubles(k, s, row, live, keep, m);
}

static int float_buffers(fl_scratch *s, int64_t n, int keep, fl_mass *m) {
    size_t groups = (size_t)fl_groups(n);
    m->gsum = fl_buffer(s, FL_BUF_GSUM, groups * sizeof(float));
    m->e = keep & FL_KEEP_E ? fl_buffer(s, FL_BUF_E, (size_t)n * sizeof(float)) : NULL;
    if (!m->gsum || (keep & FL_KEEP_E && !m->e)) return FL_NO_MEMORY;
    if (!(keep & (FL_KEEP_MOMENTS | FL_KEEP_MEAN))) return FL_OK;
    m->moments.first = fl_buffer(s, FL_BUF_MOMENT, 2 * groups * sizeof(float));
    if (keep & FL_KEEP_MOMENTS && m->moments.first) m->moments.second = m->moments.first + groups;
    return m->moments.first ? FL_OK : FL_NO_MEMORY;
}

static uint32_t read_floats(const fl_kernels *k, const fl_row *row, const uint16_t *live, fl_mass *m) {
    if (m->moments.first && !m->moments.second) {
        uint32_t seen = k->row_mean[row->dtype](row->x, row->n, live, &m->args, m->moments.centre, m->gmax, m->gsum,
                                                m->moments.first, m->e);
        m->full = !live && row->n % FL_BLOCK == 0 && !(seen >> FL_LANES);
        return seen & 0xffff;
    }
    if (m->moments.first)
        return k->row_moments[row->dtype](row->x, row->n, live, &m->args, &m->moments, m->gmax, m->gsum);
    return k->row_sumexp[row->dtype](row->x, row->n, live, &m->args, m->gmax, m->gsum, m->e);
}

/* A pass whose guess was far off is followed by one that knows the maximum. */
enum { MOST_PASSES = 4 };

int fl_mass_run(const fl_kernels *k, fl_scratch *s, fl_row *row, const uint16_t *live, double t, float cut, int keep,
                fl_mass *m) {
    int64_t groups = fl_groups(row->n);
    *m = (fl_mass){.temperature = t, .passes = 1, .cut = cut};
    m->gmax = fl_buffer(s, FL_BUF_GMAX, (size_t)groups * sizeof(float));
    if (!m->gmax || fl_row_pack(s, k, row)) return FL_NO_MEMORY;
    if (row->wide || t < 1e-12 || t > 1e12) return widened(k, s, row, live, keep, m);
    if (float_buffers(s, row->n, keep, m)) return FL_NO_MEMORY;
    double guess = (double)k->row_guess[row->dtype](row->x, row->n);
    if (!(fabs(guess) / t < 1e5)) guess = 0;
    m->exponent = fl_exponent_of(guess, t) - 8;
    m->moments.centre = (float)guess;
    for (;; m->passes++) {
        if (m->passes > MOST_PASSES) return FL_CHANGED;
        m->args = fl_exp_args_of(t, m->exponent);
        m->args.least = cut > m->args.least ? cut : m->args.least;
        uint32_t bad = read_floats(k, row, live, m);
        m->top = (double)k->row_max[FL_F32](m->gmax, groups);
        int narrow = fabs(m->top) / t < 1e5;
        int64_t over = narrow ? fl_exponent_of(m->top, t) - m->exponent : 6;
        if (over >= 6 && over <= 60) {
            int fault = bad || m->top > DBL_MAX ? fl_row_fault(row) : FL_OK;
            if (fault) return fault;
            if (m->top < -DBL_MAX) return FL_NO_FINITE;
            if (m->top > DBL_MAX) return FL_CHANGED;
            if (!narrow) return widened(k, s, row, live, keep, m);
            break;
        }
        m->exponent = fl_exponent_of(m->top, t) - 8;
        m->moments.centre = (float)m->top;
    }
    m->at = fl_first_equal(k, row, live, m->gmax, m->top);
    if (keep & FL_KEEP_MEAN && m->at >= 0) sharpen(k, row, live, m);
    return rest_of_row(k, row, live, m);
}

int fl_mass_again(const fl_kernels *k, fl_scratch *s, fl_row *row, const uint16_t *live, double t, fl_mass *m) {
    if (row->wide || t < 1e-12 || t > 1e12 || !(fabs(m->top) / t < 1e5))
        return fl_mass_run(k, s, row, live, t, -FLT_MAX, 0, m);
    m->temperature = t;
    m->exponent = fl_exponent_of(m->top, t) - 8;
    m->args = fl_exp_args_of(t, m->exponent);
    m->passes = 1;
    k->row_again[row->dtype](row->x, row->n, live, &m->args, NULL, m->gsum);
    sharpen(k, row, live, m);
    return rest_of_row(k, row, live, m);
}

double fl_mass_total(const fl_mass *m) { return m->unit + m->others; }

double fl_mass_lse(const fl_mass *m) { return m->top / m->temperature + fl_log1p(m->rest); }

/* Sums of e d and e d^2, d = x - centre, over all but the first maximum; its group, summed one by one, is left empty. */
static void moments_of_rest(const fl_kernels *k, const fl_row *row, const uint16_t *live, fl_mass *m, double *first,
                            double *second) {
    double values[FL_LANES], sum = 0, squares = 0;
    int64_t g = top_group(m), count = group_without_top(m, row, live, values), groups = fl_groups(row->n);
    for (int64_t i = 0; i < count; i++) {
        double e = mass_of(m, values[i]), d = values[i] - (double)m->moments.centre;
        sum += e * d;
        squares += e * d * d;
    }
    m->moments.first[g] = 0;
    *first = sum + m->sharp + k->sum_all(m->moments.first, groups);
    if (!m->moments.second) return;
    m->moments.second[g] = 0;
    *second = squares + k->sum_all(m->moments.second, groups);
}

enum { LOST = 32 }; /* by how much rounding errors of the float moments may grow before they are made anew */

/* mean is that of (top - x) / T. Returns whether the moments lie near enough to what they are of: where the mass is far
 * from centre, compared with its own spread, the terms below cancel. */
static int entropies_of_floats(const fl_kernels *k, const fl_row *row, const uint16_t *live, fl_mass *m, double *mean,
                               double *pair) {
    double first, second, t = m->temperature, others = m->others, total = fl_mass_total(m);
    double gap = m->top - (double)m->moments.centre, far = gap * gap * others;
    moments_of_rest(k, row, live, m, &first, &second);
    *mean = (gap * others - first) / t / total;
    *mean = *mean > 0 ? *mean : 0;
    double square = ((far - 2 * gap * first) + second) / t / t / total, size = (far + second) / t / t / total;
    pair[0] = fl_log1p(m->rest) + *mean;
    pair[1] = square - *mean * *mean;
    return pair[1] * LOST >= size + *mean * *mean && pair[0] * pair[0] * LOST * LOST >= size * (others / total);
}

static void entropies_of_doubles(const fl_kernels *k, const fl_row *row, const uint16_t *live, const fl_mass *m,
                                 double *pair) {
    double sums[2], total = fl_mass_total(m);
    k->f64_moments(row->wide, row->n, live, &m->args64, m->top, sums);
    double mean = sums[0] / total, square = sums[1] / total;
    pair[0] = fl_log1p(m->rest) - mean;
    pair[1] = square - mean * mean;
    if (pair[1] * LOST >= square) return;
    k->f64_moments(row->wide, row->n, live, &m->args64, m->top + mean * m->temperature, sums);
    mean = sums[0] / total;
    pair[1] = sums[1] / total - mean * mean;
}

void fl_mass_entropies(const fl_kernels *k, const fl_row *row, const uint16_t *live, fl_mass *m, double *pair) {
    double mean;
    if (row->wide)
        entropies_of_doubles(k, row, live, m, pair);
    else if (!entropies_of_floats(k, row, live, m, &mean, pair)) {
        m->moments.centre = (float)(m->top - mean * m->temperature);
        read_floats(k, row, live, m);
        entropies_of_floats(k, row, live, m, &mean, pair);
    }
    if (pair[1] < 0) pair[1] = 0;
}

double fl_mass_entropy(const fl_kernels *k, const fl_row *row, const uint16_t *live, fl_mass *m) {
    double pair[2], first, second;
    if (row->wide) {
        entropies_of_doubles(k, row, live, m, pair);
        return pair[0] > 0 ? pair[0] : 0;
    }
    moments_of_rest(k, row, live, m, &first, &second);
    double mean = ((m->top - (double)m->moments.centre) * m->others - first) / m->temperature / fl_mass_total(m);
    return fl_log1p(m->rest) + (mean > 0 ? mean : 0);
}
