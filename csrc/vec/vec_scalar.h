/* vec_scalar.h: the vector vocabulary in plain C: vf is an array of 16 floats. See vec_avx512.h. */
#include "../bits.h"

#define FL_INLINE static inline __attribute__((always_inline))
#define FL_EXP_INLINE static __attribute__((noinline)) /* sixteen copies in a loop cost a compiler half a minute */
#define FL_LANES_DO(expr)                                                                                              \
    do {                                                                                                               \
        for (int i = 0; i < 16; i++) { expr; }                                                                         \
    } while (0)

typedef struct {
    float at[16];
} vf;
typedef vf vt;
typedef struct {
    uint32_t at[16]; /* 0 or ~0 */
} vm;
typedef struct {
    double at[16];
} vd;

/* a b + c rounded once. The product is exact in double; the sum is rounded to odd there, so that the last rounding to
 * float cannot be a second one (Boldo and Melquiond, 2008). */
FL_INLINE float vec_fma1(float a, float b, float c) {
#if defined(__FP_FAST_FMAF)
    return __builtin_fmaf(a, b, c);
#else
    double p = (double)a * b, s = p + c;
    double z = s - p, err = (p - (s - z)) + (c - z);
    int64_t u;
    memcpy(&u, &s, 8);
    int64_t inexact = (err > 0) | (err < 0), even = ~u & 1, away = (err > 0) == (s > 0);
    u += (inexact & even) * (2 * away - 1);
    memcpy(&s, &u, 8);
    return (float)s;
#endif
}

FL_INLINE vf vf_set1(float a) {
    vf r;
    FL_LANES_DO(r.at[i] = a);
    return r;
}
FL_INLINE vf vf_load_f32(const void *p) {
    vf r;
    memcpy(r.at, p, sizeof r.at);
    return r;
}
FL_INLINE vf vf_load_thirds(const void *p) {
    vf r;
    FL_LANES_DO(memcpy(r.at + i, (const char *)p + 12 * i, 4));
    return r;
}
FL_INLINE vf vf_load_n_f32(const void *p, int64_t n, float fill) {
    vf r = vf_set1(fill);
    memcpy(r.at, p, (size_t)n * 4);
    return r;
}
FL_INLINE vf vf_load_n_f16(const void *p, int64_t n, float fill) {
    vf r = vf_set1(fill);
    uint16_t w[16];
    memcpy(w, p, (size_t)n * 2);
    for (int64_t i = 0; i < n; i++) r.at[i] = fl_from_f16(w[i]);
    return r;
}
FL_INLINE vf vf_load_n_bf16(const void *p, int64_t n, float fill) {
    vf r = vf_set1(fill);
    uint16_t w[16];
    memcpy(w, p, (size_t)n * 2);
    for (int64_t i = 0; i < n; i++) r.at[i] = fl_from_bf16(w[i]);
    return r;
}
FL_INLINE vf vf_load_f16(const void *p) { return vf_load_n_f16(p, 16, 0); }
FL_INLINE vf vf_load_bf16(const void *p) { return vf_load_n_bf16(p, 16, 0); }
FL_INLINE void vf_store_f32(void *p, vf a) { memcpy(p, a.at, sizeof a.at); }
FL_INLINE void vf_store_n_f32(void *p, int64_t n, vf a) { memcpy(p, a.at, (size_t)n * 4); }
FL_INLINE void vf_store_n_f16(void *p, int64_t n, vf a) {
    uint16_t w[16];
    FL_LANES_DO(w[i] = fl_to_f16(a.at[i]));
    memcpy(p, w, (size_t)n * 2);
}
FL_INLINE void vf_store_n_bf16(void *p, int64_t n, vf a) {
    uint16_t w[16];
    FL_LANES_DO(w[i] = fl_to_bf16(a.at[i]));
    memcpy(p, w, (size_t)n * 2);
}
FL_INLINE void vf_store_f16(void *p, vf a) { vf_store_n_f16(p, 16, a); }
FL_INLINE void vf_store_bf16(void *p, vf a) { vf_store_n_bf16(p, 16, a); }

#define FL_VF2(name, expr)                                                                                             \
    FL_INLINE vf name(vf a, vf b) {                                                                                    \
        vf r;                                                                                                          \
        FL_LANES_DO(float x = a.at[i]; float y = b.at[i]; r.at[i] = (expr));                                           \
        return r;                                                                                                      \
    }
#define FL_VM2(name, expr)                                                                                             \
    FL_INLINE vm name(vf a, vf b) {                                                                                    \
        vm r;                                                                                                          \
        FL_LANES_DO(float x = a.at[i]; float y = b.at[i]; r.at[i] = (expr) ? ~0u : 0u);                                \
        return r;                                                                                                      \
    }
FL_VF2(vf_add, x + y)
FL_VF2(vf_sub, x - y)
FL_VF2(vf_mul, x *y)
FL_VF2(vf_max, x > y ? x : y)
FL_VF2(vf_min, x < y ? x : y)
FL_VM2(vf_ge, x >= y)
FL_VM2(vf_gt, x > y)
FL_VM2(vf_nlt, !(x < y))
#undef FL_VF2
#undef FL_VM2
FL_INLINE vf vf_fma(vf a, vf b, vf c) {
    vf r;
    FL_LANES_DO(r.at[i] = vec_fma1(a.at[i], b.at[i], c.at[i]));
    return r;
}
FL_INLINE vf vf_blend(vm m, vf a, vf b) {
    vf r;
    FL_LANES_DO(r.at[i] = m.at[i] ? a.at[i] : b.at[i]);
    return r;
}
FL_INLINE vf vf_keep(vm m, vf a) {
    vf r;
    FL_LANES_DO(r.at[i] = fl_float(fl_bits(a.at[i]) & m.at[i]));
    return r;
}
FL_INLINE vf vf_max_where(vm m, vf a, vf b) { return vf_blend(m, vf_max(a, b), b); }
FL_INLINE vm vm_zero(void) {
    vm r;
    FL_LANES_DO(r.at[i] = 0);
    return r;
}
FL_INLINE vm vm_or(vm a, vm b) {
    FL_LANES_DO(a.at[i] |= b.at[i]);
    return a;
}
FL_INLINE vm vm_and(vm a, vm b) {
    FL_LANES_DO(a.at[i] &= b.at[i]);
    return a;
}
FL_INLINE unsigned vm_bits(vm a) {
    unsigned bits = 0;
    FL_LANES_DO(bits |= (a.at[i] & 1u) << i);
    return bits;
}
FL_INLINE vm vf_ge_where(vm m, vf a, vf b) { return vm_and(m, vf_ge(a, b)); }
FL_INLINE vm vm_load(const uint16_t *p) {
    unsigned bits = *p;
    vm r;
    FL_LANES_DO(r.at[i] = 0u - (bits >> i & 1u));
    return r;
}
#include "vec_compress.h"
FL_INLINE vt vt_load(const void *table) { return vf_load_f32(table); }
FL_INLINE vf vf_lookup(vt table, vf t) {
    vf r;
    FL_LANES_DO(r.at[i] = table.at[fl_bits(t.at[i]) & 15]);
    return r;
}
FL_INLINE vf vf_raise_by_bits(vf y, vf t) {
    FL_LANES_DO(y.at[i] = fl_float(fl_bits(y.at[i]) + (fl_bits(t.at[i]) << 19)));
    return y;
}
FL_INLINE vd vd_zero(void) {
    vd r;
    FL_LANES_DO(r.at[i] = 0);
    return r;
}
FL_INLINE vd vd_add_f(vd a, vf b) {
    FL_LANES_DO(a.at[i] += (double)b.at[i]);
    return a;
}
FL_INLINE double vd_sum(vd a) {
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) a.at[i] += a.at[i + half];
    return a.at[0];
}
