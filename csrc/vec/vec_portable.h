/* vec_portable.h: the vector vocabulary in the vectors of gcc and clang: vf is four vectors of 4 floats, which become the
 * registers of whatever the target's baseline has. See vec_avx512.h. */
#include "base/bits.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define FL_INLINE static inline __attribute__((always_inline))
#define FL_NOT_INLINE static __attribute__((noinline, unused))
#define FL_EXP_INLINE FL_NOT_INLINE /* sixteen copies in a loop cost a compiler half a minute */
#define FL_QUADS(expr)                                                                                                 \
    do {                                                                                                               \
        for (int i = 0; i < 4; i++) { expr; }                                                                          \
    } while (0)

typedef float v4f __attribute__((vector_size(16)));
typedef int32_t v4i __attribute__((vector_size(16)));
typedef uint32_t v4u __attribute__((vector_size(16)));
typedef double v2d __attribute__((vector_size(16)));
typedef int64_t v2l __attribute__((vector_size(16)));
typedef float v2f __attribute__((vector_size(8)));
typedef struct {
    v4f q[4];
} vf;
typedef struct {
    v4i q[4]; /* 0 or ~0 */
} vm;
typedef struct {
    float at[16];
} vt;
typedef struct {
    v2d d[8];
} vd;

FL_INLINE v4i vec_int4(int32_t a) { return (v4i){a, a, a, a}; }
FL_INLINE v4f vec_select(v4i m, v4f a, v4f b) { return (v4f)((m & (v4i)a) | (~m & (v4i)b)); }
/* Halves are converted as vectors: gcc 12 at -O3 makes other bits of single elements. */
FL_INLINE v2d vec_low(v4f a) { return __builtin_convertvector(((v2f){a[0], a[1]}), v2d); }
FL_INLINE v2d vec_high(v4f a) { return __builtin_convertvector(((v2f){a[2], a[3]}), v2d); }
FL_INLINE v4f vec_floats(v2d low, v2d high) {
    v2f p = __builtin_convertvector(low, v2f), q = __builtin_convertvector(high, v2f);
    return (v4f){p[0], p[1], q[0], q[1]};
}
FL_INLINE int vec_any(v4i a) {
#if defined(__SSE2__)
    return _mm_movemask_epi8((__m128i)a);
#else
    return a[0] | a[1] | a[2] | a[3];
#endif
}

FL_INLINE vf vf_set1(float a) {
    v4f v = {a, a, a, a};
    return (vf){{v, v, v, v}};
}
FL_INLINE vf vf_load_f32(const void *p) {
    vf r;
    memcpy(&r, p, sizeof r);
    return r;
}
FL_INLINE vf vf_load_thirds(const void *p) {
    float w[16];
    for (int i = 0; i < 16; i++) memcpy(w + i, (const char *)p + 12 * i, 4);
    return vf_load_f32(w);
}
FL_INLINE vf vf_load_n_f32(const void *p, int64_t n, float fill) {
    vf r = vf_set1(fill);
    memcpy(&r, p, (size_t)n * 4);
    return r;
}
FL_INLINE void vf_store_f32(void *p, vf a) { memcpy(p, &a, sizeof a); }
FL_INLINE void vf_store_n_f32(void *p, int64_t n, vf a) { memcpy(p, &a, (size_t)n * 4); }

/* The half types, n <= 16 values at a time. */
FL_NOT_INLINE void vec_from_f16(float *to, const void *p, int64_t n) {
    uint16_t w[16];
    memcpy(w, p, (size_t)n * 2);
    for (int64_t i = 0; i < n; i++) to[i] = fl_from_f16(w[i]);
}
FL_NOT_INLINE void vec_from_bf16(float *to, const void *p, int64_t n) {
    uint16_t w[16];
    memcpy(w, p, (size_t)n * 2);
    for (int64_t i = 0; i < n; i++) to[i] = fl_from_bf16(w[i]);
}
FL_NOT_INLINE void vec_to_f16(void *p, const float *from, int64_t n) {
    uint16_t w[16];
    for (int64_t i = 0; i < n; i++) w[i] = fl_to_f16(from[i]);
    memcpy(p, w, (size_t)n * 2);
}
FL_NOT_INLINE void vec_to_bf16(void *p, const float *from, int64_t n) {
    uint16_t w[16];
    for (int64_t i = 0; i < n; i++) w[i] = fl_to_bf16(from[i]);
    memcpy(p, w, (size_t)n * 2);
}
#define FL_HALF(type)                                                                                                  \
    FL_INLINE vf vf_load_n_##type(const void *p, int64_t n, float fill) {                                              \
        float w[16];                                                                                                   \
        for (int i = 0; i < 16; i++) w[i] = fill;                                                                      \
        vec_from_##type(w, p, n);                                                                                      \
        return vf_load_f32(w);                                                                                         \
    }                                                                                                                  \
    FL_INLINE vf vf_load_##type(const void *p) {                                                                       \
        float w[16];                                                                                                   \
        vec_from_##type(w, p, 16);                                                                                     \
        return vf_load_f32(w);                                                                                         \
    }                                                                                                                  \
    FL_INLINE void vf_store_n_##type(void *p, int64_t n, vf a) {                                                       \
        float w[16];                                                                                                   \
        vf_store_f32(w, a);                                                                                            \
        vec_to_##type(p, w, n);                                                                                        \
    }                                                                                                                  \
    FL_INLINE void vf_store_##type(void *p, vf a) { vf_store_n_##type(p, 16, a); }
FL_HALF(f16)
FL_HALF(bf16)
#undef FL_HALF

#define FL_VF2(name, expr)                                                                                             \
    FL_INLINE vf name(vf a, vf b) {                                                                                    \
        FL_QUADS(v4f x = a.q[i]; v4f y = b.q[i]; a.q[i] = (expr));                                                     \
        return a;                                                                                                      \
    }
#define FL_VM2(name, expr)                                                                                             \
    FL_INLINE vm name(vf a, vf b) {                                                                                    \
        vm r;                                                                                                          \
        FL_QUADS(v4f x = a.q[i]; v4f y = b.q[i]; r.q[i] = (expr));                                                     \
        return r;                                                                                                      \
    }
FL_VF2(vf_add, x + y)
FL_VF2(vf_sub, x - y)
FL_VF2(vf_mul, x *y)
#if defined(__SSE2__)
FL_VF2(vf_max, (v4f)_mm_max_ps((__m128)x, (__m128)y))
FL_VF2(vf_min, (v4f)_mm_min_ps((__m128)x, (__m128)y))
#else
FL_VF2(vf_max, vec_select(x > y, x, y))
FL_VF2(vf_min, vec_select(x < y, x, y))
#endif
FL_VM2(vf_ge, x >= y)
FL_VM2(vf_gt, x > y)
FL_VM2(vf_nlt, ~(x < y))
#undef FL_VF2
#undef FL_VM2

#if defined(__FP_FAST_FMAF)
FL_INLINE vf vf_fma(vf a, vf b, vf c) {
    float x[16], y[16], z[16];
    vf_store_f32(x, a);
    vf_store_f32(y, b);
    vf_store_f32(z, c);
    for (int i = 0; i < 16; i++) z[i] = __builtin_fmaf(x[i], y[i], z[i]);
    return vf_load_f32(z);
}
#else
/* p + c rounded to odd: what is inexact ends in a 1, so that rounding it to float is no second rounding (Boldo and
 * Melquiond, 2008). */
FL_INLINE v2d vec_odd(v2d p, v2d c) {
    v2d s = p + c, z = s - p, err = (p - (s - z)) + (c - z), zero = {0, 0};
    v2l up = err > zero, inexact = up | (err < zero), apart = up ^ (s > zero), u = (v2l)s, one = {1, 1};
    v2l step = inexact & ~u & one;
    u += (step ^ apart) - apart;
    return (v2d)u;
}
FL_NOT_INLINE vf vec_fma_odd(const vf *a, const vf *b, const vf *c) {
    vf r;
    FL_QUADS(r.q[i] = vec_floats(vec_odd(vec_low(a->q[i]) * vec_low(b->q[i]), vec_low(c->q[i])),
                                 vec_odd(vec_high(a->q[i]) * vec_high(b->q[i]), vec_high(c->q[i]))));
    return r;
}
/* Lanes whose sum in double lies halfway between two floats, or below the least normal float, where halfway lies
 * elsewhere. */
FL_INLINE v4i vec_doubtful(v2d low, v2d high) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    enum { LESSER = 1, GREATER = 0 };
#else
    enum { LESSER = 0, GREATER = 1 };
#endif
    v4i p = (v4i)low, q = (v4i)high;
    v4i lesser = {p[LESSER], p[LESSER + 2], q[LESSER], q[LESSER + 2]};
    v4i greater = {p[GREATER], p[GREATER + 2], q[GREATER], q[GREATER + 2]};
    greater &= vec_int4(0x7fffffff);
    return ((lesser & vec_int4(0x1fffffff)) == vec_int4(0x10000000)) |
           ((greater < vec_int4(0x38100000)) & (greater > vec_int4(0)));
}
/* a b + c rounded once. The product is exact in double. Their sum rounded there and then to float is right unless the
 * first rounding met a point where the second one turns. */
FL_INLINE vf vf_fma(vf a, vf b, vf c) {
    v4i doubt = vec_int4(0);
    vf r;
    for (int i = 0; i < 4; i++) {
        v2d low = vec_low(a.q[i]) * vec_low(b.q[i]) + vec_low(c.q[i]);
        v2d high = vec_high(a.q[i]) * vec_high(b.q[i]) + vec_high(c.q[i]);
        doubt |= vec_doubtful(low, high);
        r.q[i] = vec_floats(low, high);
    }
    return __builtin_expect(vec_any(doubt), 0) ? vec_fma_odd(&a, &b, &c) : r;
}
#endif

FL_INLINE vf vf_blend(vm m, vf a, vf b) {
    FL_QUADS(a.q[i] = vec_select(m.q[i], a.q[i], b.q[i]));
    return a;
}
FL_INLINE vf vf_keep(vm m, vf a) {
    FL_QUADS(a.q[i] = (v4f)((v4i)a.q[i] & m.q[i]));
    return a;
}
FL_INLINE vf vf_max_where(vm m, vf a, vf b) { return vf_blend(m, vf_max(a, b), b); }
FL_INLINE vm vm_zero(void) { return (vm){{vec_int4(0), vec_int4(0), vec_int4(0), vec_int4(0)}}; }
FL_INLINE vm vm_or(vm a, vm b) {
    FL_QUADS(a.q[i] |= b.q[i]);
    return a;
}
FL_INLINE vm vm_and(vm a, vm b) {
    FL_QUADS(a.q[i] &= b.q[i]);
    return a;
}
FL_INLINE unsigned vm_bits(vm a) {
    v4i w = {1, 2, 4, 8};
    v4i r = (a.q[0] & w) | (a.q[1] & w << 4) | (a.q[2] & w << 8) | (a.q[3] & w << 12);
    return (unsigned)(r[0] | r[1] | r[2] | r[3]);
}
FL_INLINE vm vf_ge_where(vm m, vf a, vf b) { return vm_and(m, vf_ge(a, b)); }
FL_INLINE vm vm_load(const uint16_t *p) {
    v4i bits = vec_int4(*p), w = {1, 2, 4, 8};
    vm r;
    FL_QUADS(r.q[i] = (bits & w << 4 * i) == (w << 4 * i));
    return r;
}
#include "vec_compress.h"
FL_INLINE vt vt_load(const void *table) {
    vt r;
    memcpy(&r, table, sizeof r);
    return r;
}
FL_INLINE vf vf_lookup(vt table, vf t) {
    vf r;
    FL_QUADS(v4u j = (v4u)t.q[i] & 15;
             r.q[i] = ((v4f){table.at[j[0]], table.at[j[1]], table.at[j[2]], table.at[j[3]]}));
    return r;
}
FL_INLINE vf vf_raise_by_bits(vf y, vf t) {
    FL_QUADS(y.q[i] = (v4f)((v4u)y.q[i] + ((v4u)t.q[i] << 19)));
    return y;
}
FL_INLINE vd vd_zero(void) {
    v2d z = {0, 0};
    return (vd){{z, z, z, z, z, z, z, z}};
}
FL_INLINE vd vd_add_f(vd a, vf b) {
    FL_QUADS(a.d[2 * i] += vec_low(b.q[i]); a.d[2 * i + 1] += vec_high(b.q[i]));
    return a;
}
FL_INLINE double vd_sum(vd a) {
    for (int half = 4; half; half /= 2)
        for (int i = 0; i < half; i++) a.d[i] += a.d[i + half];
    return a.d[0][0] + a.d[0][1];
}
