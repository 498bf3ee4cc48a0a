/* The portable vocabulary's fma against the C library's, also where a sum in double lies halfway between two floats or
 * below the least normal one. Compiled and run by test_build.py. */
#include <math.h>
#include <stdio.h>
#undef __FP_FAST_FMAF
#include "vec/vec_portable.h"

static uint64_t state = 88172645463325252u;
static uint32_t word(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32);
}
/* Values of few bits, so that sums lie halfway between floats; any exponent where wide. */
static float value(int bits, int wide) {
    uint32_t exponent = wide ? word() % 256 : 120 + word() % 12, kept = ~0u << (23 - bits);
    return fl_float(word() & 0x80000000u | exponent << 23 | (word() & 0x7fffff & kept));
}
int main(void) {
    long wrong = 0, doubtful = 0;
    for (long i = 0; i < 100000; i++) {
        float x[16], y[16], z[16], found[16];
        int bits = (int)(i % 24), wide = i % 3 == 0;
        for (int l = 0; l < 16; l++) x[l] = value(bits, wide), y[l] = value(23 - bits, wide), z[l] = value(23, wide);
        /* the product just off the middle between two floats */
        if (i % 5 == 0) x[0] = 1 + 0x1p-23f, y[0] = (1 - 0x1p-23f) * 0x1p-24f, z[0] = 1;
        /* the same where halfway lies at 2^-150 */
        if (i % 7 == 0)
            x[1] = 0x1p-75f * (1 + 0x1p-15f), y[1] = 0x1p-75f * (1 - 0x1p-15f), z[1] = 0x1p-127f + 0x1p-149f;
        vf r = vf_fma(vf_load_f32(x), vf_load_f32(y), vf_load_f32(z));
        vf_store_f32(found, r);
        for (int l = 0; l < 16; l++) {
            float right = fmaf(x[l], y[l], z[l]);
            if (fl_bits(found[l]) != fl_bits(right) && !(isnan(found[l]) && isnan(right))) {
                if (!wrong++) printf("%a * %a + %a: %a, not %a\n", x[l], y[l], z[l], found[l], right);
            }
            doubtful += (double)x[l] * y[l] + z[l] != (double)(float)((double)x[l] * y[l] + z[l]);
        }
    }
    printf("%ld wrong of 1600000, %ld inexact\n", wrong, doubtful);
    return wrong != 0;
}
