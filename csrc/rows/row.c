/* row.c: from rows of any type and stride to one contiguous row, and back. */
#include "rows/row.h"
#include "base/bits.h"

int64_t fl_value_size(int32_t dtype) { return dtype == FL_F64 ? 8 : dtype == FL_F32 ? 4 : 2; }

char *fl_row_address(const fl_rows *x, int64_t row) {
    if (x->ndim == 0) return x->base;
    if (x->ndim == 1) return x->base + row * x->strides[0];
    char *p = x->base;
    for (int32_t d = x->ndim - 1; d >= 0; d--) {
        p += row % x->shape[d] * x->strides[d];
        row /= x->shape[d];
    }
    return p;
}

/* Copies n values of `size` bytes, `stride` bytes apart, side by side. */
static void pack(char *to, const char *from, int64_t n, ptrdiff_t stride, int64_t size) {
    if (stride == size)
        memcpy(to, from, (size_t)(n * size));
    else if (size == 4)
        for (int64_t i = 0; i < n; i++) memcpy(to + 4 * i, from + i * stride, 4);
    else if (size == 2)
        for (int64_t i = 0; i < n; i++) memcpy(to + 2 * i, from + i * stride, 2);
    else
        for (int64_t i = 0; i < n; i++) memcpy(to + 8 * i, from + i * stride, 8);
}

int fl_row_image(fl_scratch *s, const fl_kernels *k, fl_row *row, const double *wide) {
    float *image = fl_buffer(s, FL_BUF_IMAGE, (size_t)row->n * sizeof(float));
    if (!image) return -1;
    row->bad = k->f64_image(wide, row->n, image);
    row->wide = wide;
    row->x = image;
    row->dtype = FL_F32;
    return 0;
}

int fl_row_part(fl_scratch *s, const fl_rows *x, int64_t row, int buffer, fl_row *out) {
    const char *p = fl_row_address(x, row);
    int64_t size = fl_value_size(x->dtype);
    int direct = x->stride == size && (x->dtype != FL_F64 || (uintptr_t)p % 8 == 0);
    if (!direct && (x->n > 1 || x->dtype == FL_F64)) {
        char *packed = fl_buffer(s, buffer, (size_t)(x->n * size));
        if (!packed) return -1;
        pack(packed, p, x->n, x->stride, size);
        p = packed;
    }
    *out = (fl_row){.x = p, .n = x->n, .dtype = x->dtype};
    if (x->dtype == FL_F64) out->wide = (const double *)(const void *)p;
    return 0;
}

int fl_row_open(fl_scratch *s, const fl_kernels *k, const fl_rows *x, int64_t row, fl_row *out) {
    if (fl_row_part(s, x, row, FL_BUF_PACKED, out)) return -1;
    return out->wide ? fl_row_image(s, k, out, out->wide) : 0;
}

int fl_row_pack(fl_scratch *s, const fl_kernels *k, fl_row *row) {
    if (row->dtype != FL_THIRDS) return 0;
    float *packed = fl_buffer(s, FL_BUF_PACKED, (size_t)row->n * sizeof(float));
    if (!packed) return -1;
    k->pack_thirds(row->x, row->n, packed);
    row->x = packed;
    row->dtype = FL_F32;
    return 0;
}

int fl_row_view(fl_scratch *s, const fl_kernels *k, const fl_rows *x, int64_t row, fl_row *out) {
    if (x->dtype != FL_F32 || x->stride != 12) return fl_row_open(s, k, x, row, out);
    *out = (fl_row){.x = fl_row_address(x, row), .n = x->n, .dtype = FL_THIRDS};
    return 0;
}

static double repaired(double v, double largest) {
    if (v != v) return 0.0;
    return v > largest ? largest : v < -largest ? -largest : v;
}

int fl_row_repair(fl_scratch *s, const fl_kernels *k, fl_row *row, int known) {
    if (fl_row_pack(s, k, row)) return -1;
    static const double largest[] = {0x1.fffffep127, 65504.0, 0x1.fep127, DBL_MAX};
    int32_t dtype = row->wide ? FL_F64 : row->dtype;
    int64_t size = fl_value_size(dtype), n = row->n;
    if (!known && k->row_count[row->dtype](row->x, n, NULL, -FLT_MAX) == n) return 0;
    char *to = fl_buffer(s, FL_BUF_REPAIRED, (size_t)(n * size));
    if (!to) return -1;
    for (int64_t i = 0; i < n; i++) {
        double v = repaired(fl_row_value(row, i), largest[dtype]);
        fl_store_values(&v, 1, to + i * size, 0, dtype);
    }
    row->x = to;
    row->bad = 0;
    return row->wide ? fl_row_image(s, k, row, (const double *)(void *)to) : 0;
}

/* Value by value, in the order of a NumPy user's formula. */
double fl_blend_of_values(const fl_blend *b, double base, double plus, double minus) {
    double v = b->scale * (plus - minus);
    return b->mode == FL_BARE ? v : base + v;
}

static double at(const void *part, int32_t dtype, int64_t id) {
    fl_row row = {.x = part, .dtype = dtype};
    return dtype == FL_F64 ? ((const double *)part)[id] : fl_row_value(&row, id);
}

double fl_blend_value(const fl_row *row, int64_t id) {
    const fl_blend *b = row->blend;
    int32_t t = row->parts;
    double base = at(b->base, t, id), plus = at(b->plus, t, id), minus = at(b->minus, t, id);
    if (plus != plus || minus != minus || base != base) return (double)NAN;
    if (plus < b->floor || (b->mode == FL_TRIPLE && base < -DBL_MAX)) return -(double)INFINITY;
    double v = fl_blend_of_values(b, base, plus, minus);
    if (minus < -DBL_MAX) v = b->limit != 0 ? b->limit : b->mode == FL_TRIPLE ? base : plus;
    return (v - b->top) - b->tail;
}

double fl_row_value(const fl_row *row, int64_t id) {
    float a;
    uint16_t h;
    if (row->wide) return row->wide[id];
    if (row->blend) return fl_blend_value(row, id);
    if (row->dtype == FL_F32 || row->dtype == FL_THIRDS) {
        memcpy(&a, (const char *)row->x + (row->dtype == FL_F32 ? 4 : 12) * id, 4);
        return (double)a;
    }
    memcpy(&h, (const char *)row->x + 2 * id, 2);
    return (double)(row->dtype == FL_F16 ? fl_from_f16(h) : fl_from_bf16(h));
}

int fl_row_widen(fl_scratch *s, const fl_kernels *k, fl_row *row) {
    double *wide = fl_buffer(s, FL_BUF_WIDE, (size_t)row->n * sizeof(double));
    if (!wide) return -1;
    if (row->blend) {
        k->row_blend[row->parts](row->blend, row->n, wide, NULL);
        row->blend = NULL;
    } else
        k->row_widen[row->dtype](row->x, row->n, wide);
    return fl_row_image(s, k, row, wide);
}

void fl_store_values(const double *v, int64_t n, char *out, ptrdiff_t stride, int32_t dtype) {
    for (int64_t i = 0; i < n; i++, out += stride) {
        float a = (float)v[i];
        uint16_t h;
        if (dtype == FL_F64)
            memcpy(out, v + i, 8);
        else if (dtype == FL_F32)
            memcpy(out, &a, 4);
        else {
            h = dtype == FL_F16 ? fl_to_f16(a) : fl_to_bf16(a);
            memcpy(out, &h, 2);
        }
    }
}

void fl_store_at(const fl_rows *out, int64_t row, int64_t id, double v) {
    fl_store_values(&v, 1, fl_row_address(out, row) + id * out->stride, 0, out->dtype);
}
