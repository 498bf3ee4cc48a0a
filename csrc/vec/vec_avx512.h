/* vec_avx512.h: the vector vocabulary on AVX-512: vf is one register of 16 float lanes, vm a 16-bit mask.
 *
 * The same names with the same meaning stand in vec_avx2.h, vec_neon.h and vec_portable.h. A name holds one to five
 * lines and only what some kernel uses. vf_max(a, b) is a > b ? a : b: it returns b when either is NaN.
 * vf_min(a, b) is a < b ? a : b. */
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define FL_INLINE static inline __attribute__((always_inline))
#define FL_EXP_INLINE FL_INLINE
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,bmi"))),          \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,bmi")
#endif

typedef __m512 vf;
typedef __m512 vt; /* a table of 16 floats */
typedef __mmask16 vm;
typedef struct {
    __m512d lo, hi;
} vd; /* 16 double accumulators */

FL_INLINE vf vf_set1(float a) { return _mm512_set1_ps(a); }
FL_INLINE vf vf_load_f32(const void *p) { return _mm512_loadu_ps(p); }
FL_INLINE vf vf_load_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
FL_INLINE vf vf_load_bf16(const void *p) {
    /* word i to the upper half of lane i: one permutation where widening and shifting are two */
    const __m512i to = _mm512_setr_epi32(0, 0x10000, 0x20000, 0x30000, 0x40000, 0x50000, 0x60000, 0x70000, 0x80000,
                                         0x90000, 0xa0000, 0xb0000, 0xc0000, 0xd0000, 0xe0000, 0xf0000);
    __m512i w = _mm512_castsi256_si512(_mm256_loadu_si256(p));
    return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, to, w));
}
FL_INLINE vm vm_first(int64_t n) { return (vm)((1u << n) - 1u); } /* the first n lanes, 0 <= n < 16 */
FL_INLINE vf vf_load_n_f32(const void *p, int64_t n, float fill) {
    return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), vm_first(n), p);
}
FL_INLINE vf vf_load_n_f16(const void *p, int64_t n, float fill) {
    vf v = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(vm_first(n), p));
    return _mm512_mask_mov_ps(_mm512_set1_ps(fill), vm_first(n), v);
}
FL_INLINE vf vf_load_n_bf16(const void *p, int64_t n, float fill) {
    __m512i w = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(vm_first(n), p));
    return _mm512_mask_mov_ps(_mm512_set1_ps(fill), vm_first(n), _mm512_castsi512_ps(_mm512_slli_epi32(w, 16)));
}
/* values 0, 3, 6 ... 45; 46 are read */
FL_INLINE vf vf_load_thirds(const void *p) {
    const __m512i ab = _mm512_setr_epi32(0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
    const __m512i c = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
    const float *x = (const float *)p;
    vf low = _mm512_permutex2var_ps(_mm512_loadu_ps(x), ab, _mm512_loadu_ps(x + 16));
    return _mm512_permutex2var_ps(low, c, _mm512_maskz_loadu_ps(0x3fff, x + 32));
}
FL_INLINE void vf_store_f32(void *p, vf a) { _mm512_storeu_ps(p, a); }
FL_INLINE void vf_store_n_f32(void *p, int64_t n, vf a) { _mm512_mask_storeu_ps(p, vm_first(n), a); }
FL_INLINE __m256i vf_to_f16(vf a) { return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* bfloat16, nearest even: add 0x7fff and the last kept bit, then truncate. NaN keeps its top bits and is made quiet. */
FL_INLINE __m256i vf_to_bf16(vf a) {
    __m512i i = _mm512_castps_si512(a);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(i, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(i, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    r = _mm512_mask_or_epi32(r, _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), i, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16));
}
FL_INLINE void vf_store_f16(void *p, vf a) { _mm256_storeu_si256(p, vf_to_f16(a)); }
FL_INLINE void vf_store_bf16(void *p, vf a) { _mm256_storeu_si256(p, vf_to_bf16(a)); }
FL_INLINE void vf_store_n_f16(void *p, int64_t n, vf a) { _mm256_mask_storeu_epi16(p, vm_first(n), vf_to_f16(a)); }
FL_INLINE void vf_store_n_bf16(void *p, int64_t n, vf a) { _mm256_mask_storeu_epi16(p, vm_first(n), vf_to_bf16(a)); }

FL_INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
FL_INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
FL_INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
FL_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); } /* a b + c, rounded once */
FL_INLINE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
FL_INLINE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
FL_INLINE vm vf_ge(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
FL_INLINE vm vf_ge_where(vm m, vf a, vf b) { return _mm512_mask_cmp_ps_mask(m, a, b, _CMP_GE_OQ); }
FL_INLINE vm vf_gt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
FL_INLINE vm vf_nlt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ); } /* not a < b: true for NaN */
FL_INLINE vf vf_keep(vm m, vf a) { return _mm512_maskz_mov_ps(m, a); }            /* m ? a : +0 */
FL_INLINE vf vf_blend(vm m, vf a, vf b) { return _mm512_mask_mov_ps(b, m, a); }   /* m ? a : b */
FL_INLINE vm vm_zero(void) { return 0; }
FL_INLINE vf vf_max_where(vm m, vf a, vf b) { return _mm512_mask_max_ps(b, m, a, b); } /* m ? vf_max(a, b) : b */
FL_INLINE vm vm_or(vm a, vm b) { return _kor_mask16(a, b); }
FL_INLINE vm vm_and(vm a, vm b) { return _kand_mask16(a, b); }
FL_INLINE unsigned vm_bits(vm a) { return a; }
/* 16 bits from memory. Compilers take the way through a general register, which costs a third of a masked scan. */
FL_INLINE vm vm_load(const uint16_t *p) {
    vm m;
    __asm__("kmovw %1, %0" : "=k"(m) : "m"(*p));
    return m;
}

/* The lanes named by bits, side by side; 16 entries are written, those behind the named ones are arbitrary. */
FL_INLINE void vf_compress(float *p, unsigned bits, vf a) {
    _mm512_storeu_ps(p, _mm512_maskz_compress_ps((__mmask16)bits, a));
}
/* The same for the numbers first, first + 1, ... of the lanes. */
FL_INLINE void vec_compress_ids(int32_t *p, unsigned bits, int32_t first) {
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i id = _mm512_add_epi32(_mm512_set1_epi32(first), lane);
    _mm512_storeu_si512(p, _mm512_maskz_compress_epi32((__mmask16)bits, id));
}
FL_INLINE void vec_compress_ints(int32_t *p, unsigned bits, const int32_t *from) {
    _mm512_storeu_si512(p, _mm512_maskz_compress_epi32((__mmask16)bits, _mm512_loadu_si512(from)));
}

FL_INLINE vt vt_load(const void *table) { return _mm512_loadu_ps(table); }
/* table[low four bits of the bit pattern of t] */
FL_INLINE vf vf_lookup(vt table, vf t) { return _mm512_permutexvar_ps(_mm512_castps_si512(t), table); }
/* y with the low 13 bits of t added to its bits from the 20th on: y 2^(t / 16) where y is 2^(j / 16) less those bits of
 * j = t mod 16. */
FL_INLINE vf vf_raise_by_bits(vf y, vf t) {
    __m512i s = _mm512_slli_epi32(_mm512_castps_si512(t), 19);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(y), s));
}

FL_INLINE vd vd_zero(void) { return (vd){_mm512_setzero_pd(), _mm512_setzero_pd()}; }
FL_INLINE vd vd_add_f(vd a, vf b) {
    a.lo = _mm512_add_pd(a.lo, _mm512_cvtps_pd(_mm512_castps512_ps256(b)));
    a.hi = _mm512_add_pd(a.hi, _mm512_cvtps_pd(_mm512_extractf32x8_ps(b, 1)));
    return a;
}
/* Sum of the 16 lanes by halving: lane l + lane l + 8, then 4, 2, 1. */
FL_INLINE double vd_sum(vd a) {
    __m512d s = _mm512_add_pd(a.lo, a.hi);
    __m256d t = _mm256_add_pd(_mm512_castpd512_pd256(s), _mm512_extractf64x4_pd(s, 1));
    __m128d u = _mm_add_pd(_mm256_castpd256_pd128(t), _mm256_extractf128_pd(t, 1));
    return _mm_cvtsd_f64(_mm_add_sd(u, _mm_unpackhi_pd(u, u)));
}
