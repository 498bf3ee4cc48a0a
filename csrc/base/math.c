/* math.c: exp, log and log1p in double, free of libm and of fma: the same bits on every machine. */
#include "base/math.h"
#include <string.h>

/* 2^(j/16): the bits of the nearest float less j 2^19, and by how much of itself the value exceeds that float. */
const uint32_t fl_exp2_bits[16] = {
    0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
    0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d,
};
const float fl_exp2_rest[16] = {
    0x0.0p+0f,        0x1.8d96d4p-25f,  -0x1.9c0c22p-27f, 0x1.964904p-25f,  0x1.125002p-25f, 0x1.370be4p-25f,
    -0x1.0a3550p-25f, -0x1.00d8acp-27f, 0x1.26055cp-26f,  -0x1.05cb44p-25f, 0x1.67a1cap-28f, 0x1.a3b5e4p-28f,
    -0x1.f9c304p-27f, -0x1.6961b4p-28f, -0x1.a5217cp-28f, 0x1.61428ep-28f,
};
/* The nearest double and the rest. */
const double fl_exp2_hi64[16] = {
    0x1.0000000000000p+0, 0x1.0b5586cf9890fp+0, 0x1.172b83c7d517bp+0, 0x1.2387a6e756238p+0,
    0x1.306fe0a31b715p+0, 0x1.3dea64c123422p+0, 0x1.4bfdad5362a27p+0, 0x1.5ab07dd485429p+0,
    0x1.6a09e667f3bcdp+0, 0x1.7a11473eb0187p+0, 0x1.8ace5422aa0dbp+0, 0x1.9c49182a3f090p+0,
    0x1.ae89f995ad3adp+0, 0x1.c199bdd85529cp+0, 0x1.d5818dcfba487p+0, 0x1.ea4afa2a490dap+0,
};
const double fl_exp2_lo64[16] = {
    0x0.0p+0,
    0x1.8a62e4adc610bp-54,
    -0x1.19041b9d78a76p-55,
    0x1.9b07eb6c70573p-54,
    0x1.6f46ad23182e4p-55,
    0x1.ada0911f09ebcp-55,
    0x1.d4397afec42e2p-56,
    0x1.6324c054647adp-54,
    -0x1.bdd3413b26456p-54,
    -0x1.41577ee04992fp-55,
    0x1.6e9f156864b27p-54,
    0x1.c7c46b071f2bep-56,
    0x1.7a1cd345dcc81p-54,
    0x1.11065895048ddp-55,
    0x1.2ed02d75b3707p-55,
    -0x1.e9c23179c2893p-54,
};

static double from_bits(uint64_t u) {
    double a;
    memcpy(&a, &u, 8);
    return a;
}
static uint64_t to_bits(double a) {
    uint64_t u;
    memcpy(&u, &a, 8);
    return u;
}

/* e^x, below 1 ulp. n = round(16 x / ln2), r = x - n ln2 / 16, e^x = 2^(n / 16) (1 + q(r)), Taylor to r^8. */
double fl_exp(double x) {
    if (!(x > -745.2)) return x != x ? x : 0.0;
    if (x > 709.79) return (double)INFINITY;
    double t = x * (16 * FL_LOG2E) + 0x1.8p52, n = t - 0x1.8p52;
    double r = ((x - n * (FL_LN2_FIRST / 16)) - n * (FL_LN2_SECOND / 16)) - n * (FL_LN2_REST / 16);
    double q = 1.0 / 40320;
    q = q * r + 1.0 / 5040;
    q = q * r + 1.0 / 720;
    q = q * r + 1.0 / 120;
    q = q * r + 1.0 / 24;
    q = q * r + 1.0 / 6;
    q = q * r + 0.5;
    q = q * r * r + r;
    int64_t j = (int64_t)(to_bits(t) & 15), k = ((int64_t)n - j) >> 4;
    double top = fl_exp2_hi64[j], y = top + (fl_exp2_lo64[j] + top * q);
    int64_t half = k / 2; /* two factors: 2^k alone may leave the range */
    return y * from_bits((uint64_t)(half + 1023) << 52) * from_bits((uint64_t)(k - half + 1023) << 52);
}

/* Natural logarithm of x + rest with |rest| <= ulp(x), x > 0: x = 2^k m, sqrt(1/2) <= m < sqrt(2), s = (m - 1) / (m + 1),
 * ln m = 2 (s + s^3 / 3 + s^5 / 5 + ...). */
static double log_with_rest(double x, double rest) {
    int64_t k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        rest *= 0x1p54;
        k = -54;
    }
    uint64_t u = to_bits(x);
    int64_t shift = (int64_t)(u - to_bits(0x1.6a09e667f3bcdp-1)) >> 52; /* exponent counted from sqrt(1/2) */
    double m = from_bits(u - ((uint64_t)shift << 52)), f = m - 1.0;
    double s = f / (2.0 + f), z = s * s, p = 1.0 / 23;
    for (int i = 21; i >= 3; i -= 2) p = p * z + 1.0 / i;
    /* 2 s = f - s f, which keeps the rounding of s away from the large part */
    double tail = s * (2.0 * z * p - f) + rest / x;
    k += shift;
    double big = (double)k * FL_LN2_HI, small = (double)k * FL_LN2_LO;
    return big + (f + (tail + small));
}

double fl_log(double x) {
    if (!(x > 0.0)) return x == 0.0 ? -(double)INFINITY : (double)NAN;
    if (x > DBL_MAX) return x;
    return log_with_rest(x, 0.0);
}

/* ln(1 + x) for x >= 0, with full relative precision near 0. */
double fl_log1p(double x) {
    if (x < 0x1p-54) return x;
    double u = 1.0 + x, rest = x >= 1.0 ? 1.0 - (u - x) : x - (u - 1.0);
    return u > DBL_MAX ? u : log_with_rest(u, rest);
}

/* Neumaier's sum. */
double fl_sum(const double *v, int64_t n, double *low) {
    double sum = 0, lost = 0;
    for (int64_t i = 0; i < n; i++) {
        double next = sum + v[i];
        lost += sum >= v[i] ? (sum - next) + v[i] : (v[i] - next) + sum;
        sum = next;
    }
    double total = sum + lost;
    *low = lost - (total - sum);
    return total;
}
