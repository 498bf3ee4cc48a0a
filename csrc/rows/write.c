/* write.c: result rows of any type and stride. */
#include "rows/write.h"
#include <string.h>

/* A scale or shift as nearest float and rest. */
void fl_split(double v, float *pair) {
    pair[0] = (float)v;
    pair[1] = fabs(v) <= (double)FLT_MAX ? (float)(v - (double)pair[0]) : 0.0f;
}

/* Writes a float result row of any stride and type. */
void fl_store_floats(const float *v, int64_t n, char *to, ptrdiff_t stride, int32_t dtype) {
    double wide[FL_BLOCK];
    for (int64_t i = 0; i < n; i += FL_BLOCK) {
        int64_t count = n - i < FL_BLOCK ? n - i : FL_BLOCK;
        for (int64_t j = 0; j < count; j++) wide[j] = (double)v[i + j];
        fl_store_values(wide, count, to + i * stride, stride, dtype);
    }
}

void fl_fill_row(const fl_rows *out, int64_t r, double v) {
    char *to = fl_row_address(out, r);
    char value[8];
    int64_t size = fl_value_size(out->dtype);
    fl_store_values(&v, 1, value, 0, out->dtype);
    if (v == 0 && out->stride == size) {
        memset(to, 0, (size_t)(out->n * size));
        return;
    }
    if (out->stride == size) {
        /* The first values one by one, the rest as copies of them. */
        int64_t first = out->n < 1024 ? out->n : 1024;
        for (int64_t i = 0; i < first; i++) memcpy(to + i * size, value, (size_t)size);
        for (int64_t i = first; i < out->n; i += first)
            memcpy(to + i * size, to, (size_t)((out->n - i < first ? out->n - i : first) * size));
        return;
    }
    for (int64_t i = 0; i < out->n; i++) memcpy(to + i * out->stride, value, (size_t)size);
}

/* Results below the least normal float are 0. */
void fl_write_softmax(const fl_kernels *k, const fl_mass *m, double total, double low, const fl_rows *out,
                      int64_t row) {
    char *to = fl_row_address(out, row);
    int64_t n = out->n;
    if (m->e64) {
        double share = low / total;
        for (int64_t i = 0; i < n; i++) {
            double p = m->e64[i] / total;
            m->e64[i] = p - p * share;
        }
        fl_store_values(m->e64, n, to, out->stride, out->dtype);
        return;
    }
    if (total > 0x1p90) { /* 1 / total would be subnormal; masses that get lost here have no probability */
        const float down[2] = {0x1p-64f, 0.0f};
        k->row_scale[FL_F32](m->e, n, down, 0x1p-60f, m->e);
        total *= 0x1p-64;
    }
    float scale[2], least = (float)((double)FLT_MIN * total * (1.0 + 0x1p-22));
    fl_split(1.0 / total, scale);
    int direct = out->dtype < FL_F64 && (out->stride == fl_value_size(out->dtype) || n == 1);
    k->row_scale[direct ? out->dtype : FL_F32](m->e, n, scale, least, direct ? (void *)to : (void *)m->e);
    if (!direct) fl_store_floats(m->e, n, to, out->stride, out->dtype);
}
