/* bits.h: floats as their bits, and the half types in plain C, one value at a time. */
#ifndef FL_BITS_H
#define FL_BITS_H

#include <stdint.h>
#include <string.h>

#define FL_BITS static inline __attribute__((always_inline))

FL_BITS uint32_t fl_bits(float a) {
    uint32_t u;
    memcpy(&u, &a, 4);
    return u;
}
FL_BITS float fl_float(uint32_t u) {
    float a;
    memcpy(&a, &u, 4);
    return a;
}
FL_BITS float fl_from_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, mag = h & 0x7fff;
    if (mag >= 0x7c00) return fl_float(sign | 0x7f800000 | (mag & 0x3ff) << 13 | (mag > 0x7c00 ? 0x400000u : 0u));
    if (mag >= 0x0400) return fl_float(sign | ((mag << 13) + 0x38000000));
    return fl_float(sign | fl_bits((float)mag * 0x1p-24f));
}
FL_BITS float fl_from_bf16(uint16_t h) { return fl_float((uint32_t)h << 16); }
/* float16, nearest even: below 2^-14 the addition of 2^-1 places the last bit, above it the integer rounding does. */
FL_BITS uint16_t fl_to_f16(float a) {
    uint32_t u = fl_bits(a), sign = u >> 16 & 0x8000, mag = u & 0x7fffffff;
    if (mag > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (mag >> 13 & 0x3ff));
    if (mag >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (mag < 0x38800000) return (uint16_t)(sign | (fl_bits(fl_float(mag) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | (mag + 0xfff + (mag >> 13 & 1) - 0x38000000) >> 13);
}
FL_BITS uint16_t fl_to_bf16(float a) {
    uint32_t u = fl_bits(a);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

#endif
