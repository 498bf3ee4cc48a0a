/* softmax.c: softmax, log_softmax and logsumexp over rows. Special values as scipy.special. */
#include <float.h>
#include <string.h>
#include "base/math.h"
#include "fastlogits.h"
#include "rows/write.h"

static double at(fl_per_row p, int64_t row) { return p.at[row * p.step]; }

static int softmax_row(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out, double t, int64_t r) {
    fl_row row;
    fl_mass m;
    if (fl_row_open(s, k, x, r, &row)) return FL_NO_MEMORY;
    if (out->dtype == FL_F64 && !row.wide && fl_row_widen(s, k, &row)) return FL_NO_MEMORY;
    int status = fl_mass_run(k, s, &row, NULL, t, -FLT_MAX, 1, &m);
    if (status == FL_NO_MEMORY) return status;
    if (status) return fl_fill_row(out, r, (double)NAN), FL_OK;
    double total = fl_mass_total(&m), low = (m.unit - (total - m.others)) + m.others_low;
    if (m.others > m.unit) low = (m.others - (total - m.unit)) + m.others_low;
    fl_write_softmax(k, &m, total, low, out, r);
    return FL_OK;
}

/* +inf: +inf - inf is NaN, everything else -inf. */
static void log_softmax_of_inf(const fl_row *row, const fl_rows *out, int64_t r) {
    char *to = fl_row_address(out, r);
    for (int64_t i = 0; i < row->n; i++) {
        double v = fl_row_value(row, i) > DBL_MAX ? (double)NAN : -(double)INFINITY;
        fl_store_values(&v, 1, to + i * out->stride, 0, out->dtype);
    }
}

static int log_softmax_doubles(fl_scratch *s, const fl_row *row, const fl_mass *m, const fl_rows *out, int64_t r) {
    double *y = fl_buffer(s, FL_BUF_ROW, (size_t)row->n * sizeof(double)), tail = fl_log1p(m->rest);
    if (!y) return FL_NO_MEMORY;
    for (int64_t i = 0; i < row->n; i++) y[i] = (row->wide[i] - m->top) / m->temperature - tail;
    fl_store_values(y, row->n, fl_row_address(out, r), out->stride, out->dtype);
    return FL_OK;
}

static int log_softmax_row(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out, double t,
                           int64_t r) {
    fl_row row;
    fl_mass m;
    if (fl_row_open(s, k, x, r, &row)) return FL_NO_MEMORY;
    if (out->dtype == FL_F64 && !row.wide && fl_row_widen(s, k, &row)) return FL_NO_MEMORY;
    int status = fl_mass_run(k, s, &row, NULL, t, -FLT_MAX, 0, &m);
    if (status == FL_NO_MEMORY) return status;
    if (status == FL_POS_INF) {
        log_softmax_of_inf(&row, out, r);
        return FL_OK;
    }
    if (status) return fl_fill_row(out, r, (double)NAN), FL_OK;
    if (row.wide) return log_softmax_doubles(s, &row, &m, out, r);
    float scale[2], shift[2], top = (float)-fl_log1p(m.rest);
    fl_split(1.0 / t, scale);
    fl_split(fl_mass_lse(&m), shift);
    int direct = out->dtype == FL_F32 && (out->stride == 4 || row.n == 1);
    float *y = direct ? (float *)(void *)fl_row_address(out, r) : fl_buffer(s, FL_BUF_E, (size_t)row.n * sizeof(float));
    if (!y) return FL_NO_MEMORY;
    k->row_log[row.dtype](row.x, row.n, scale, shift, y);
    memcpy((char *)y + 4 * m.at, &top, 4);
    if (!direct) fl_store_floats(y, row.n, fl_row_address(out, r), out->stride, out->dtype);
    return FL_OK;
}

typedef int row_function(const fl_kernels *, fl_scratch *, const fl_rows *, const fl_rows *, double, int64_t);

static int logsumexp_row(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out, double t,
                         int64_t r) {
    fl_row row;
    fl_mass m;
    if (fl_row_open(s, k, x, r, &row)) return FL_NO_MEMORY;
    if (out->dtype == FL_F64 && !row.wide && fl_row_widen(s, k, &row)) return FL_NO_MEMORY;
    int status = fl_mass_run(k, s, &row, NULL, t, -FLT_MAX, 0, &m);
    if (status == FL_NO_MEMORY) return status;
    double v = status == FL_POS_INF     ? (double)INFINITY
               : status == FL_NO_FINITE ? -(double)INFINITY
               : status                 ? (double)NAN
                                        : fl_mass_lse(&m);
    fl_store_values(&v, 1, fl_row_address(out, r), 0, out->dtype);
    return FL_OK;
}

static int each_row(row_function *f, const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out,
                    fl_per_row t, int64_t begin, int64_t end) {
    uint64_t saved = fl_env_enter();
    int status = FL_OK;
    for (int64_t r = begin; r < end && !status; r++) status = f(k, s, x, out, at(t, r), r);
    fl_env_leave(saved);
    return status;
}

int fl_softmax(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out, fl_per_row t, int64_t begin,
               int64_t end) {
    return each_row(softmax_row, k, s, x, out, t, begin, end);
}
int fl_log_softmax(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out, fl_per_row t,
                   int64_t begin, int64_t end) {
    return each_row(log_softmax_row, k, s, x, out, t, begin, end);
}
int fl_logsumexp(const fl_kernels *k, fl_scratch *s, const fl_rows *x, const fl_rows *out, fl_per_row t, int64_t begin,
                 int64_t end) {
    return each_row(logsumexp_row, k, s, x, out, t, begin, end);
}
