/* vec_neon.h: the vector vocabulary on AArch64 NEON: vf is four registers of 4 float lanes. See vec_avx512.h.
 * Conversions of half precision are part of the AArch64 base. */
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define FL_INLINE static inline __attribute__((always_inline))
#define FL_EXP_INLINE FL_INLINE
#define FL_QUADS(expr)                                                                                                 \
    do {                                                                                                               \
        for (int i = 0; i < 4; i++) { expr; }                                                                          \
    } while (0)

typedef struct {
    float32x4_t q[4];
} vf;
typedef uint8x16x4_t vt; /* a table of 16 floats as 64 bytes */
typedef struct {
    uint32x4_t q[4];
} vm;
typedef struct {
    float64x2_t d[8];
} vd;

FL_INLINE vf vf_set1(float a) {
    float32x4_t v = vdupq_n_f32(a);
    return (vf){{v, v, v, v}};
}
FL_INLINE vf vf_load_f32(const void *p) {
    vf r;
    FL_QUADS(r.q[i] = vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)p + 16 * i)));
    return r;
}
FL_INLINE vf vf_load_thirds(const void *p) {
    vf r;
    const float *x = (const float *)p;
    FL_QUADS(r.q[i] = i < 3 ? vld3q_f32(x + 12 * i).val[0] : vld3q_f32(x + 34).val[2]);
    return r;
}
FL_INLINE uint16x4_t vec_load4(const void *p, int i) {
    return vreinterpret_u16_u8(vld1_u8((const uint8_t *)p + 8 * i));
}
FL_INLINE vf vf_load_f16(const void *p) {
    vf r;
    FL_QUADS(r.q[i] = vcvt_f32_f16(vreinterpret_f16_u16(vec_load4(p, i))));
    return r;
}
FL_INLINE vf vf_load_bf16(const void *p) {
    vf r;
    FL_QUADS(r.q[i] = vreinterpretq_f32_u32(vshll_n_u16(vec_load4(p, i), 16)));
    return r;
}
/* Tails go through a buffer: NEON has no masked load. fill is exact in every format used (0 or -inf). */
FL_INLINE vf vf_load_n_f32(const void *p, int64_t n, float fill) {
    float w[16];
    for (int i = 0; i < 16; i++) w[i] = fill;
    memcpy(w, p, (size_t)n * 4);
    return vf_load_f32(w);
}
FL_INLINE vf vf_load_n_f16(const void *p, int64_t n, float fill) {
    uint16_t w[16];
    for (int i = 0; i < 16; i++) w[i] = fill < 0 ? 0xfc00 : 0;
    memcpy(w, p, (size_t)n * 2);
    return vf_load_f16(w);
}
FL_INLINE vf vf_load_n_bf16(const void *p, int64_t n, float fill) {
    uint16_t w[16];
    for (int i = 0; i < 16; i++) w[i] = fill < 0 ? 0xff80 : 0;
    memcpy(w, p, (size_t)n * 2);
    return vf_load_bf16(w);
}
FL_INLINE void vf_store_f32(void *p, vf a) { FL_QUADS(vst1q_u8((uint8_t *)p + 16 * i, vreinterpretq_u8_f32(a.q[i]))); }
FL_INLINE void vf_store_n_f32(void *p, int64_t n, vf a) {
    float w[16];
    vf_store_f32(w, a);
    memcpy(p, w, (size_t)n * 4);
}
FL_INLINE void vf_store_f16(void *p, vf a) {
    FL_QUADS(vst1_u8((uint8_t *)p + 8 * i, vreinterpret_u8_f16(vcvt_f16_f32(a.q[i]))));
}
FL_INLINE uint16x4_t vec_to_bf16_4(float32x4_t a) {
    uint32x4_t u = vreinterpretq_u32_f32(a), odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    uint32x4_t r = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(a, a), r, vorrq_u32(u, vdupq_n_u32(0x400000))), 16);
}
FL_INLINE void vf_store_bf16(void *p, vf a) {
    FL_QUADS(vst1_u8((uint8_t *)p + 8 * i, vreinterpret_u8_u16(vec_to_bf16_4(a.q[i]))));
}
FL_INLINE void vf_store_n_f16(void *p, int64_t n, vf a) {
    uint16_t w[16];
    vf_store_f16(w, a);
    memcpy(p, w, (size_t)n * 2);
}
FL_INLINE void vf_store_n_bf16(void *p, int64_t n, vf a) {
    uint16_t w[16];
    vf_store_bf16(w, a);
    memcpy(p, w, (size_t)n * 2);
}

#define FL_VF2(name, expr)                                                                                             \
    FL_INLINE vf name(vf a, vf b) {                                                                                    \
        vf r;                                                                                                          \
        FL_QUADS(float32x4_t x = a.q[i]; float32x4_t y = b.q[i]; r.q[i] = (expr));                                     \
        return r;                                                                                                      \
    }
#define FL_VM2(name, expr)                                                                                             \
    FL_INLINE vm name(vf a, vf b) {                                                                                    \
        vm r;                                                                                                          \
        FL_QUADS(float32x4_t x = a.q[i]; float32x4_t y = b.q[i]; r.q[i] = (expr));                                     \
        return r;                                                                                                      \
    }
FL_VF2(vf_add, vaddq_f32(x, y))
FL_VF2(vf_sub, vsubq_f32(x, y))
FL_VF2(vf_mul, vmulq_f32(x, y))
FL_VF2(vf_max, vbslq_f32(vcgtq_f32(x, y), x, y))
FL_VF2(vf_min, vbslq_f32(vcltq_f32(x, y), x, y))
FL_VM2(vf_ge, vcgeq_f32(x, y))
FL_VM2(vf_gt, vcgtq_f32(x, y))
FL_VM2(vf_nlt, vmvnq_u32(vcltq_f32(x, y)))
#undef FL_VF2
#undef FL_VM2
FL_INLINE vf vf_fma(vf a, vf b, vf c) {
    FL_QUADS(c.q[i] = vfmaq_f32(c.q[i], a.q[i], b.q[i]));
    return c;
}
FL_INLINE vf vf_blend(vm m, vf a, vf b) {
    FL_QUADS(b.q[i] = vbslq_f32(m.q[i], a.q[i], b.q[i]));
    return b;
}
FL_INLINE vf vf_keep(vm m, vf a) {
    FL_QUADS(a.q[i] = vreinterpretq_f32_u32(vandq_u32(m.q[i], vreinterpretq_u32_f32(a.q[i]))));
    return a;
}
FL_INLINE vf vf_max_where(vm m, vf a, vf b) { return vf_blend(m, vf_max(a, b), b); }
FL_INLINE vm vm_zero(void) {
    uint32x4_t z = vdupq_n_u32(0);
    return (vm){{z, z, z, z}};
}
FL_INLINE vm vm_or(vm a, vm b) {
    FL_QUADS(a.q[i] = vorrq_u32(a.q[i], b.q[i]));
    return a;
}
FL_INLINE vm vm_and(vm a, vm b) {
    FL_QUADS(a.q[i] = vandq_u32(a.q[i], b.q[i]));
    return a;
}
FL_INLINE vm vf_ge_where(vm m, vf a, vf b) { return vm_and(m, vf_ge(a, b)); }
FL_INLINE unsigned vm_bits(vm a) {
    const uint32_t weight[4] = {1, 2, 4, 8};
    uint32x4_t w = vld1q_u32(weight);
    unsigned bits = 0;
    FL_QUADS(bits |= vaddvq_u32(vandq_u32(a.q[i], w)) << 4 * i);
    return bits;
}
FL_INLINE vm vm_load(const uint16_t *p) {
    unsigned bits = *p;
    const uint32_t weight[4] = {1, 2, 4, 8};
    uint32x4_t w = vld1q_u32(weight);
    vm r;
    FL_QUADS(r.q[i] = vtstq_u32(vdupq_n_u32(bits >> 4 * i), w));
    return r;
}
#include "vec_compress.h"
FL_INLINE vt vt_load(const void *table) {
    vt t;
    FL_QUADS(t.val[i] = vld1q_u8((const uint8_t *)table + 16 * i));
    return t;
}
FL_INLINE vf vf_lookup(vt table, vf t) {
    vf r;
    uint32x4_t four = vdupq_n_u32(0x04040404), bytes = vdupq_n_u32(0x03020100), low = vdupq_n_u32(15);
    FL_QUADS(uint32x4_t j = vandq_u32(vreinterpretq_u32_f32(t.q[i]), low);
             r.q[i] = vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_u32(vmlaq_u32(bytes, j, four)))));
    return r;
}
FL_INLINE vf vf_raise_by_bits(vf y, vf t) {
    FL_QUADS(uint32x4_t s = vshlq_n_u32(vreinterpretq_u32_f32(t.q[i]), 19);
             y.q[i] = vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(y.q[i]), s)));
    return y;
}
FL_INLINE vd vd_zero(void) {
    float64x2_t z = vdupq_n_f64(0);
    return (vd){{z, z, z, z, z, z, z, z}};
}
FL_INLINE vd vd_add_f(vd a, vf b) {
    FL_QUADS(a.d[2 * i] = vaddq_f64(a.d[2 * i], vcvt_f64_f32(vget_low_f32(b.q[i])));
             a.d[2 * i + 1] = vaddq_f64(a.d[2 * i + 1], vcvt_high_f64_f32(b.q[i])));
    return a;
}
FL_INLINE double vd_sum(vd a) {
    for (int half = 4; half; half /= 2)
        for (int i = 0; i < half; i++) a.d[i] = vaddq_f64(a.d[i], a.d[i + half]);
    return vgetq_lane_f64(a.d[0], 0) + vgetq_lane_f64(a.d[0], 1);
}
