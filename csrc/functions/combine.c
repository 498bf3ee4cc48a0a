/* combine.c: guidance, contrastive and d_experts on whole rows. */
#include <float.h>
#include <string.h>
#include "plan/blend_parts.h"

static int write_combined(const fl_kernels *k, fl_scratch *s, const fl_blend *b, const fl_rows *out, int64_t r) {
    char *to = fl_row_address(out, r);
    int64_t n = out->n, size = fl_value_size(out->dtype);
    int direct = out->dtype != FL_F64 && (out->stride == size || n == 1);
    void *y = direct ? to : fl_buffer(s, FL_BUF_ROW, (size_t)(n * size));
    if (!y) return FL_NO_MEMORY;
    if (out->dtype == FL_F64)
        k->f64_blend(b, n, y);
    else
        k->row_blend[out->dtype](b, n, NULL, y);
    for (int64_t i = 0; !direct && i < n; i++) memcpy(to + i * out->stride, (char *)y + i * size, (size_t)size);
    return FL_OK;
}

int fl_combine(const fl_kernels *k, fl_scratch *s, const fl_step *step, const fl_rows *x, const fl_rows *const *beside,
               const fl_rows *out, int64_t begin, int64_t end) {
    uint64_t saved = fl_env_enter();
    int status = FL_OK;
    for (int64_t r = begin; x->n && r < end && !status; r++) {
        fl_step_values v;
        fl_step_values_read(&v, step, r, 0);
        fl_row parts[1 + FL_MOST_BESIDE];
        int n, bad, failed = FL_OK;
        status = fl_parts_open(s, x, beside, r, parts, &n);
        if (status) break;
        fl_blend b = fl_parts_blend(k, &v, parts);
        if (fl_parts_logs(&v) && x->n) failed = fl_parts_shift(k, s, parts, &b, &bad);
        if (failed == FL_NO_MEMORY) status = failed;
        if (failed) b.top = (double)NAN, b.floor = -(double)INFINITY;
        if (!status) status = write_combined(k, s, &b, out, r);
    }
    fl_env_leave(saved);
    return status;
}
