/* exact.c: the exact sum of doubles as one integer of FL_EXACT_LIMBS limbs, in units of 2^-1074.
 *
 * A finite double is m 2^(e - 1) units with m < 2^53 and 1 <= e <= 2046, so it touches three limbs of 32 bits. Each limb
 * is an int64: it takes 2^31 additions before its carry must move on. */
#include <string.h>

#include "base/interface.h"

enum { MOST_ADDITIONS = 1 << 30 };

/* Leaves every limb but the last in [0, 2^32). */
static void carry(int64_t *limbs) {
    for (int i = 0; i + 1 < FL_EXACT_LIMBS; i++) {
        int64_t low = limbs[i] & 0xffffffff;
        limbs[i + 1] += (limbs[i] - low) / ((int64_t)1 << 32);
        limbs[i] = low;
    }
}

static void add(uint64_t u, int64_t *limbs) {
    uint64_t e = u >> 52 & 0x7ff, m = u & 0xfffffffffffff;
    m |= (uint64_t)(e > 0) << 52;
    uint64_t shift = e - (e > 0), bits = shift & 31;
    uint64_t low = m << bits, high = m >> 1 >> (63 - bits);
    int64_t *at = limbs + (shift >> 5), sign = u >> 63 ? -1 : 1;
    at[0] += sign * (int64_t)(low & 0xffffffff);
    at[1] += sign * (int64_t)(low >> 32);
    at[2] += sign * (int64_t)high;
}

double fl_exact_add(const double *v, int64_t n, int64_t *limbs) {
    double others = 0;
    for (int64_t begin = 0; begin < n; begin += MOST_ADDITIONS) {
        int64_t end = n - begin < MOST_ADDITIONS ? n : begin + MOST_ADDITIONS;
        for (int64_t i = begin; i < end; i++) {
            uint64_t u;
            memcpy(&u, v + i, 8);
            if ((u >> 52 & 0x7ff) == 0x7ff)
                others += v[i];
            else
                add(u, limbs);
        }
        carry(limbs);
    }
    return others;
}
