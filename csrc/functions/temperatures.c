/* temperatures.c: log-sum-exp of a row at several inverse temperatures (power + k) d, and its mean at one of them, from
 * one read.
 *
 * Float rows go through row_temperatures; the block of the first maximum, and every block of a double row or of a row
 * outside the domain of the float exponential, is summed here in double, in units of the maximum's own mass. */
#include <float.h>
#include <string.h>
#include "base/math.h"
#include "fastlogits.h"
#include "rows/mass.h"

enum { UNIT_EXPONENT = 5 }; /* exp(d x) of the maximum is near 2^5: what lies 90 / d below it still counts */

/* Sums over all values but the maximum, in units of its mass; the moment is that of x - top. */
typedef struct {
    double top, mass[FL_TEMPERATURES], moment;
    int64_t at;
} fl_rest;

static double inverse_at(const fl_tempered *t, int k) { return (double)(t->power + k) * t->step; }

/* Adds one block of at most FL_BLOCK doubles, the value numbered skip left out. */
static void add_doubles(const fl_kernels *k, const double *x, int64_t n, int64_t skip, const fl_tempered *t,
                        fl_rest *rest) {
    double v[FL_BLOCK], e[FL_BLOCK], mass[FL_TEMPERATURES] = {0}, moment = 0;
    memcpy(v, x, (size_t)n * sizeof(double));
    if (skip >= 0 && skip < n) v[skip] = -(double)INFINITY;
    fl_exp64_args unit = fl_exp64_args_of(1.0 / t->step, rest->top, 0);
    k->list_exp(v, n, &unit, e);
    for (int64_t i = 0; i < n; i++) {
        double y = e[i], far = v[i] - rest->top;
        far = far < -DBL_MAX ? -DBL_MAX : far;
        if (y == 0) continue;
        if (t->power == 4) y = (y * y) * (y * y);
        for (int j = 0;; y *= e[i]) {
            mass[j] += y;
            if (j == FL_MIDDLE) moment += y * far;
            if (++j == t->count) break;
        }
    }
    for (int j = 0; j < t->count; j++) rest->mass[j] += mass[j];
    rest->moment += moment;
}

static int doubles(const fl_kernels *k, fl_scratch *s, fl_row *row, const fl_tempered *t, fl_rest *rest) {
    if (!row->wide && fl_row_widen(s, k, row)) return FL_NO_MEMORY;
    int fault = row->bad ? fl_row_fault(row) : FL_OK;
    if (fault) return fault;
    *rest = (fl_rest){.top = -(double)INFINITY, .at = -1};
    for (int64_t i = 0; i < row->n; i++)
        if (row->wide[i] > rest->top) rest->top = row->wide[rest->at = i];
    if (rest->at < 0) return FL_NO_FINITE;
    for (int64_t i = 0; i < row->n; i += FL_BLOCK)
        add_doubles(k, row->wide + i, row->n - i < FL_BLOCK ? row->n - i : FL_BLOCK, rest->at - i, t, rest);
    return FL_OK;
}

/* The block of the maximum: finds it there and adds the others. */
static void held_block(const fl_kernels *k, const fl_row *row, int64_t block, const fl_tempered *t, fl_rest *rest) {
    double v[FL_BLOCK] = {0};
    int64_t first = block * FL_BLOCK, n = row->n - first < FL_BLOCK ? row->n - first : FL_BLOCK, at = 0;
    for (int64_t i = 0; i < n; i++) {
        v[i] = fl_row_value(row, first + i);
        if (v[i] > v[at]) at = i;
    }
    *rest = (fl_rest){.top = v[at], .at = first + at};
    add_doubles(k, v, n, at, t, rest);
}

/* The other blocks' sums, made with exponents (power + k) N around centre, in units of the maximum. */
static void add_floats(const fl_tempered *t, int64_t unit, double centre, const double *mass, double moment,
                       fl_rest *rest) {
    for (int j = 0; j < t->count; j++) {
        double exponent = (double)((t->power + j) * unit);
        double scale = fl_exp((exponent * FL_LN2_HI - rest->top * inverse_at(t, j)) + exponent * FL_LN2_LO);
        rest->mass[j] += mass[j] * scale;
        if (j == FL_MIDDLE) rest->moment += (moment + (centre - rest->top) * mass[j]) * scale;
    }
}

/* Whether the moment is mostly the rounding of one around a centre far from the values that count: where these equal the
 * maximum it must be 0. A pass around the maximum has it exactly. */
static int cancelled(const fl_tempered *t, double centre, const fl_rest *rest) {
    return t->count > FL_MIDDLE && fabs(rest->moment) < 0x1p-12 * fabs(centre - rest->top) * rest->mass[FL_MIDDLE];
}

/* The powers of exp(d x) that a pass makes, surplus ones included. */
static int64_t last_power(const fl_tempered *t) {
    return t->power + (t->count > 2 || t->power == 4 ? FL_TEMPERATURES : t->count) - 1;
}

static int in_float_domain(const fl_tempered *t, double x) { return fabs(x) * (double)last_power(t) * t->step < 1e5; }

static int floats(const fl_kernels *k, fl_scratch *s, fl_row *row, const fl_tempered *t, fl_rest *rest) {
    double mass[FL_TEMPERATURES], moment, guess = (double)k->row_guess[row->dtype](row->x, row->n);
    for (int pass = 0;; pass++) {
        if (!in_float_domain(t, guess)) guess = 0;
        int64_t unit = fl_exponent_of(guess, 1.0 / t->step) - UNIT_EXPONENT, held;
        fl_temperatures_args a = {
            .unit = fl_exp_args_of(1.0 / t->step, unit), .centre = (float)guess, .power = t->power, .count = t->count};
        uint32_t bad = k->row_temperatures[row->dtype](row->x, row->n, &a, mass, &moment, &held);
        int fault = bad ? fl_row_fault(row) : FL_OK;
        if (fault) return fault;
        if (held < 0) return FL_NO_FINITE;
        held_block(k, row, held, t, rest);
        if (!in_float_domain(t, rest->top) || pass == 2) return doubles(k, s, row, t, rest);
        int64_t over = fl_exponent_of(rest->top, 1.0 / t->step) - unit;
        if (over >= UNIT_EXPONENT - 2 && last_power(t) * (over + 1) <= 112) {
            add_floats(t, unit, (double)a.centre, mass, moment, rest);
            if (!cancelled(t, (double)a.centre, rest)) return FL_OK;
        }
        guess = rest->top;
    }
}

static int one_row(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_tempered *t, int64_t r) {
    fl_row row;
    fl_rest rest = {.at = -1};
    int64_t target = t->targets ? fl_peek(t->targets + r) : 0;
    int status = t->targets && target >= x->n ? FL_CHANGED : FL_OK;
    if (target >= 0 && !status) {
        if (fl_row_open(s, k, x, r, &row)) return FL_NO_MEMORY;
        int by_floats = !row.wide && t->step >= 1e-9 && t->step <= 1e9;
        status = by_floats ? floats(k, s, &row, t, &rest) : doubles(k, s, &row, t, &rest);
        if (status == FL_NO_MEMORY) return status;
    }
    int known = target >= 0 && !status;
    t->status[r] = status;
    t->tops[r] = known ? rest.top : (double)NAN;
    t->ids[r] = known ? rest.at : -1;
    if (t->targets) t->targets_at[r] = known ? fl_row_value(&row, target) : (double)NAN;
    for (int j = 0; j < t->count; j++) t->tails[r * t->count + j] = known ? fl_log1p(rest.mass[j]) : (double)NAN;
    int middle = known && t->count > FL_MIDDLE;
    t->means[r] = middle ? rest.moment / (1.0 + rest.mass[FL_MIDDLE]) : (double)NAN;
    return FL_OK;
}

int fl_temperatures(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_tempered *t, int64_t begin,
                    int64_t end) {
    uint64_t saved = fl_env_enter();
    int status = FL_OK;
    for (int64_t r = begin; r < end && !status; r++) status = one_row(k, s, x, t, r);
    fl_env_leave(saved);
    return status;
}
