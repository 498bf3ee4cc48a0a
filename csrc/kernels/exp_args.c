/* exp_args.c: the numbers by which the exponentials of a temperature reduce what they are given. */
#include "kernels/exp_args.h"

/* T ln2 / 16 as the sum of two doubles, by Dekker's product. */
static void ln2_times(double t, double *high, double *low) {
    const double l1 = FL_LN2 / 16, l2 = FL_LN2_REST / 16, split = 0x1p27 + 1;
    double scale = t > 0x1p900 ? 0x1p-200 : 1.0;
    t *= scale;
    double a = t * split, th = a - (a - t), tl = t - th;
    double b = l1 * split, lh = b - (b - l1), ll = l1 - lh;
    double p = t * l1, err = ((th * lh - p) + th * ll + tl * lh) + tl * ll + t * l2;
    *high = (p + err) / scale;
    *low = (err - ((p + err) - p)) / scale;
}

fl_exp_args fl_exp_args_of(double t, int64_t exponent) {
    double high, low;
    ln2_times(t, &high, &low);
    float hi = (float)high;
    return (fl_exp_args){
        .scale = (float)(16.0 * FL_LOG2E / t),
        .magic = (float)(0x1.8p23 - 16.0 * (double)exponent),
        .hi = hi,
        .lo = (float)((high - (double)hi) + low),
        .c1 = (float)(1.0 / t),
        .c2 = (float)(0.5 / (t * t)),
        .c3 = (float)(1.0 / (6.0 * t * t * t)),
        .least = (float)((double)(exponent - 125) * 16.0 * high),
    };
}

/* v with its last `bits` bits cleared. */
static double truncated(double v, int bits) {
    uint64_t u;
    memcpy(&u, &v, 8);
    u &= ~(uint64_t)0 << bits;
    memcpy(&v, &u, 8);
    return v;
}

fl_exp64_args fl_exp64_args_of(double t, double shift, int64_t exponent) {
    double high, low;
    ln2_times(t, &high, &low);
    double hi = truncated(high, 24), mid = truncated((high - hi) + low, 24);
    return (fl_exp64_args){
        .shift = shift,
        .scale = 16.0 * FL_LOG2E / t,
        .magic = 0x1.8p52 - 16.0 * (double)exponent,
        .hi = hi,
        .mid = mid,
        .lo = ((high - hi) - mid) + low,
        .inverse = 1.0 / t,
        .least = (double)(exponent - 1020) * 16.0 * high,
    };
}

int64_t fl_exponent_of(double x, double t) {
    double e = x / t * FL_LOG2E;
    if (!(fabs(e) < 0x1p62)) return 0;
    int64_t i = (int64_t)e;
    return i - (e < (double)i);
}
