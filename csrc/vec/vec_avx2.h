/* vec_avx2.h: the vector vocabulary on AVX2 + FMA + F16C: vf is two registers of 8 float lanes. See vec_avx512.h. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define FL_INLINE static inline __attribute__((always_inline))
#define FL_EXP_INLINE FL_INLINE
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi")
#endif

typedef struct {
    __m256 a, b;
} vf;
typedef vf vt; /* a table of 16 floats */
typedef vf vm; /* all bits set or clear in every lane */
typedef struct {
    __m256d q[4];
} vd; /* 16 double accumulators */

FL_INLINE vf vf_set1(float a) { return (vf){_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
FL_INLINE vf vf_load_f32(const void *p) {
    return (vf){_mm256_loadu_ps((const float *)p), _mm256_loadu_ps((const float *)p + 8)};
}
FL_INLINE vf vf_from_f16(__m256i w) {
    return (vf){_mm256_cvtph_ps(_mm256_castsi256_si128(w)), _mm256_cvtph_ps(_mm256_extracti128_si256(w, 1))};
}
FL_INLINE vf vf_from_bf16(__m256i w) {
    __m256i lo = _mm256_cvtepu16_epi32(_mm256_castsi256_si128(w));
    __m256i hi = _mm256_cvtepu16_epi32(_mm256_extracti128_si256(w, 1));
    return (vf){_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
}
FL_INLINE vf vf_load_f16(const void *p) { return vf_from_f16(_mm256_loadu_si256(p)); }
FL_INLINE vf vf_load_bf16(const void *p) { return vf_from_bf16(_mm256_loadu_si256(p)); }
/* the first n of 8 lanes, n of any sign */
FL_INLINE __m256i vec_first8(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
FL_INLINE vm vm_first(int64_t n) {
    return (vm){_mm256_castsi256_ps(vec_first8(n)), _mm256_castsi256_ps(vec_first8(n - 8))};
}
FL_INLINE vf vf_blend(vm m, vf a, vf b) {
    return (vf){_mm256_blendv_ps(b.a, a.a, m.a), _mm256_blendv_ps(b.b, a.b, m.b)};
}
FL_INLINE vf vf_load_n_f32(const void *p, int64_t n, float fill) {
    vf v = {_mm256_maskload_ps((const float *)p, vec_first8(n)),
            _mm256_maskload_ps((const float *)p + 8, vec_first8(n - 8))};
    return vf_blend(vm_first(n), v, vf_set1(fill));
}
/* AVX2 has no masked load of 16-bit words: the tail goes through a buffer. */
FL_INLINE __m256i vec_tail16(const void *p, int64_t n) {
    uint16_t w[16] = {0};
    memcpy(w, p, (size_t)n * 2);
    return _mm256_loadu_si256((const __m256i *)w);
}
FL_INLINE vf vf_load_n_f16(const void *p, int64_t n, float fill) {
    return vf_blend(vm_first(n), vf_from_f16(vec_tail16(p, n)), vf_set1(fill));
}
FL_INLINE vf vf_load_n_bf16(const void *p, int64_t n, float fill) {
    return vf_blend(vm_first(n), vf_from_bf16(vec_tail16(p, n)), vf_set1(fill));
}
FL_INLINE __m256 vec_thirds8(const float *x) {
    __m256 v = _mm256_blend_ps(_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), 0x92);
    v = _mm256_blend_ps(v, _mm256_maskload_ps(x + 16, vec_first8(6)), 0x24); /* 0, 9, 18, 3, 12, 21, 6, 15 */
    return _mm256_permutevar8x32_ps(v, _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5));
}
FL_INLINE vf vf_load_thirds(const void *p) {
    return (vf){vec_thirds8((const float *)p), vec_thirds8((const float *)p + 24)};
}
FL_INLINE void vf_store_f32(void *p, vf v) {
    _mm256_storeu_ps((float *)p, v.a);
    _mm256_storeu_ps((float *)p + 8, v.b);
}
FL_INLINE void vf_store_n_f32(void *p, int64_t n, vf v) {
    _mm256_maskstore_ps((float *)p, vec_first8(n), v.a);
    _mm256_maskstore_ps((float *)p + 8, vec_first8(n - 8), v.b);
}
FL_INLINE __m256i vf_to_f16(vf v) {
    return _mm256_setr_m128i(_mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT),
                             _mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT));
}
FL_INLINE __m256i vec_to_bf16_8(__m256 a) {
    __m256i i = _mm256_castps_si256(a);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(i, 16), _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(i, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    r = _mm256_blendv_epi8(r, _mm256_or_si256(i, _mm256_set1_epi32(0x400000)), nan);
    return _mm256_srli_epi32(r, 16);
}
FL_INLINE __m256i vf_to_bf16(vf v) {
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(vec_to_bf16_8(v.a), vec_to_bf16_8(v.b)), 0xd8);
}
FL_INLINE void vf_store_f16(void *p, vf v) { _mm256_storeu_si256(p, vf_to_f16(v)); }
FL_INLINE void vf_store_bf16(void *p, vf v) { _mm256_storeu_si256(p, vf_to_bf16(v)); }
FL_INLINE void vec_store_tail16(void *p, int64_t n, __m256i w) {
    uint16_t t[16];
    _mm256_storeu_si256((__m256i *)t, w);
    memcpy(p, t, (size_t)n * 2);
}
FL_INLINE void vf_store_n_f16(void *p, int64_t n, vf v) { vec_store_tail16(p, n, vf_to_f16(v)); }
FL_INLINE void vf_store_n_bf16(void *p, int64_t n, vf v) { vec_store_tail16(p, n, vf_to_bf16(v)); }

FL_INLINE vf vf_add(vf x, vf y) { return (vf){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
FL_INLINE vf vf_sub(vf x, vf y) { return (vf){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
FL_INLINE vf vf_mul(vf x, vf y) { return (vf){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
FL_INLINE vf vf_fma(vf x, vf y, vf z) { return (vf){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
FL_INLINE vf vf_max(vf x, vf y) { return (vf){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
FL_INLINE vf vf_min(vf x, vf y) { return (vf){_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
#define FL_CMP(x, y, how) ((vm){_mm256_cmp_ps((x).a, (y).a, how), _mm256_cmp_ps((x).b, (y).b, how)})
FL_INLINE vm vf_ge(vf x, vf y) { return FL_CMP(x, y, _CMP_GE_OQ); }
FL_INLINE vm vf_gt(vf x, vf y) { return FL_CMP(x, y, _CMP_GT_OQ); }
FL_INLINE vm vf_nlt(vf x, vf y) { return FL_CMP(x, y, _CMP_NLT_UQ); }
#undef FL_CMP
FL_INLINE vm vm_or(vm x, vm y) { return (vm){_mm256_or_ps(x.a, y.a), _mm256_or_ps(x.b, y.b)}; }
FL_INLINE vm vm_and(vm x, vm y) { return (vm){_mm256_and_ps(x.a, y.a), _mm256_and_ps(x.b, y.b)}; }
FL_INLINE vm vf_ge_where(vm m, vf x, vf y) { return vm_and(m, vf_ge(x, y)); }
FL_INLINE vf vf_keep(vm m, vf v) { return vm_and(m, v); }
FL_INLINE vf vf_max_where(vm m, vf x, vf y) { return vf_blend(m, vf_max(x, y), y); }
FL_INLINE vm vm_zero(void) { return (vm){_mm256_setzero_ps(), _mm256_setzero_ps()}; }
FL_INLINE unsigned vm_bits(vm m) { return (unsigned)_mm256_movemask_ps(m.a) | (unsigned)_mm256_movemask_ps(m.b) << 8; }
FL_INLINE vm vm_load(const uint16_t *p) {
    unsigned bits = *p;
    __m256i one = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i lo = _mm256_set1_epi32((int)bits), hi = _mm256_set1_epi32((int)(bits >> 8));
    return (vm){_mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(lo, one), one)),
                _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(hi, one), one))};
}

#include "vec_compress.h"
FL_INLINE vt vt_load(const void *table) { return vf_load_f32(table); }
FL_INLINE __m256 vec_lookup8(vt table, __m256 t) {
    __m256i j = _mm256_castps_si256(t);
    __m256 upper = _mm256_castsi256_ps(_mm256_slli_epi32(j, 28)); /* bit 3 of the index as the sign */
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.a, j), _mm256_permutevar8x32_ps(table.b, j), upper);
}
FL_INLINE vf vf_lookup(vt table, vf t) { return (vf){vec_lookup8(table, t.a), vec_lookup8(table, t.b)}; }
FL_INLINE __m256 vec_raise8(__m256 y, __m256 t) {
    __m256i s = _mm256_slli_epi32(_mm256_castps_si256(t), 19);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(y), s));
}
FL_INLINE vf vf_raise_by_bits(vf y, vf t) { return (vf){vec_raise8(y.a, t.a), vec_raise8(y.b, t.b)}; }

FL_INLINE vd vd_zero(void) {
    __m256d z = _mm256_setzero_pd();
    return (vd){{z, z, z, z}};
}
FL_INLINE vd vd_add_f(vd a, vf v) {
    a.q[0] = _mm256_add_pd(a.q[0], _mm256_cvtps_pd(_mm256_castps256_ps128(v.a)));
    a.q[1] = _mm256_add_pd(a.q[1], _mm256_cvtps_pd(_mm256_extractf128_ps(v.a, 1)));
    a.q[2] = _mm256_add_pd(a.q[2], _mm256_cvtps_pd(_mm256_castps256_ps128(v.b)));
    a.q[3] = _mm256_add_pd(a.q[3], _mm256_cvtps_pd(_mm256_extractf128_ps(v.b, 1)));
    return a;
}
FL_INLINE double vd_sum(vd a) {
    __m256d t = _mm256_add_pd(_mm256_add_pd(a.q[0], a.q[2]), _mm256_add_pd(a.q[1], a.q[3]));
    __m128d u = _mm_add_pd(_mm256_castpd256_pd128(t), _mm256_extractf128_pd(t, 1));
    return _mm_cvtsd_f64(_mm_add_sd(u, _mm_unpackhi_pd(u, u)));
}
