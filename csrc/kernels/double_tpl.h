/* double_tpl.h: float64 passes. Plain loops over 16 lanes that every compiler vectorizes; no fma, so that the bits are
 * the same everywhere. Also the way of float rows outside the float exponential's domain. */

/* The nearest float of each value, held inside the finite range: order-preserving, so every float scan can serve as a
 * scan of the doubles. Returns non-zero if there is a NaN or a +inf. */
static uint32_t FL_N(f64_image)(const double *x, int64_t n, float *image) {
    uint32_t bad = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = x[i];
        bad |= !(v < (double)INFINITY);
        double w = v > (double)FLT_MAX ? (double)FLT_MAX : v;
        w = w < -(double)FLT_MAX ? (v < -DBL_MAX ? -(double)INFINITY : -(double)FLT_MAX) : w;
        image[i] = (float)w;
    }
    return bad;
}

/* One vector of exponentials of x - shift; see fl_exp64_args. Results of x - shift < least are 0. */
FL_INLINE void FL_N(f64_exp16)(const double *x, const fl_exp64_args *a, double *y) {
    for (int l = 0; l < FL_LANES; l++) {
        double v = x[l] - a->shift, w = v - x[l], lost = (x[l] - (v - w)) - (a->shift + w);
        double t = v * a->scale + a->magic, n = t - a->magic;
        double z = (((v - n * a->hi) - n * a->mid) - (n * a->lo - lost)) * a->inverse;
        double q = 1.0 / 5040;
        uint64_t bits, out;
        memcpy(&bits, &t, 8);
        q = q * z + 1.0 / 720;
        q = q * z + 1.0 / 120;
        q = q * z + 1.0 / 24;
        q = q * z + 1.0 / 6;
        q = q * z + 0.5;
        q = q * z * z + z;
        double top = fl_exp2_hi64[bits & 15], e = top + (fl_exp2_lo64[bits & 15] + top * q);
        memcpy(&out, &e, 8);
        out += bits >> 4 << 52;
        out &= v >= a->least ? ~(uint64_t)0 : 0;
        memcpy(y + l, &out, 8);
    }
}

/* gsum takes the group sums and behind them, group by group, what their roundings lost. */
static void FL_N(f64_sumexp)(const double *x, int64_t n, const uint16_t *live, const fl_exp64_args *a, double *gsum,
                             double *e) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK;
    for (int64_t b = 0; b < blocks; b++) {
        double y[16][FL_LANES];
        for (int j = 0; j < 16; j++) {
            int64_t at = b * FL_BLOCK + j * FL_LANES, left = n - at;
            double tail[FL_LANES];
            const double *p = x + at;
            if (left < FL_LANES) {
                for (int l = 0; l < FL_LANES; l++) tail[l] = l < left ? x[at + l] : -(double)INFINITY;
                p = tail;
            }
            FL_N(f64_exp16)(p, a, y[j]);
            if (live && left > 0)
                for (int l = 0; l < FL_LANES; l++) y[j][l] = live[at / FL_LANES] >> l & 1 ? y[j][l] : 0;
            for (int l = 0; e && l < FL_LANES && l < left; l++) e[at + l] = y[j][l];
        }
        double lost[FL_LANES] = {0};
        for (int half = 1; half < 16; half *= 2)
            for (int j = 0; j < 16; j += 2 * half)
                for (int l = 0; l < FL_LANES; l++) {
                    double u = y[j][l], v = y[j + half][l], s = u + v, z = s - u;
                    lost[l] += (u - (s - z)) + (v - z);
                    y[j][l] = s;
                }
        memcpy(gsum + b * FL_LANES, y[0], sizeof y[0]);
        memcpy(gsum + (blocks + b) * FL_LANES, lost, sizeof lost);
    }
}

/* sum and what its roundings lost take v. */
FL_INLINE void FL_N(f64_add)(double *sum, double *lost, double v) {
    double s = *sum + v, z = s - *sum;
    *lost += (*sum - (s - z)) + (v - z);
    *sum = s;
}

/* sums[0] and sums[1]: of e z and e z^2 for z = (x - centre) / T; values without an exponential have no part. */
static void FL_N(f64_moments)(const double *x, int64_t n, const uint16_t *live, const fl_exp64_args *a, double centre,
                              double *sums) {
    double first[FL_LANES] = {0}, second[FL_LANES] = {0}, lost[FL_LANES] = {0}, lost2[FL_LANES] = {0};
    for (int64_t at = 0; at < n; at += FL_LANES) {
        double v[FL_LANES], e[FL_LANES];
        uint32_t here = live ? live[at / FL_LANES] : 0xffff;
        for (int l = 0; l < FL_LANES; l++) v[l] = at + l < n && here >> l & 1 ? x[at + l] : -(double)INFINITY;
        FL_N(f64_exp16)(v, a, e);
        for (int l = 0; l < FL_LANES; l++) {
            double z = e[l] > 0 ? (v[l] - centre) * a->inverse : 0, y = e[l] * z;
            FL_N(f64_add)(first + l, lost + l, y);
            FL_N(f64_add)(second + l, lost2 + l, y * z);
        }
    }
    sums[0] = sums[1] = 0;
    for (int l = 0; l < FL_LANES; l++) {
        sums[0] += first[l] + lost[l];
        sums[1] += second[l] + lost2[l];
    }
}

/* Of 16 values the first `left`, all of them mostly: a copy of known length. */
FL_INLINE void FL_N(f64_put)(double *to, const double *y, int64_t left) {
    if (left >= FL_LANES)
        memcpy(to, y, FL_LANES * sizeof(double));
    else
        memcpy(to, y, (size_t)left * sizeof(double));
}

static void FL_N(list_exp)(const double *v, int64_t n, const fl_exp64_args *a, double *e) {
    for (int64_t at = 0; at < n; at += FL_LANES) {
        double in[FL_LANES], out[FL_LANES];
        int64_t left = n - at;
        for (int l = 0; l < FL_LANES; l++) in[l] = l < left ? v[at + l] : -(double)INFINITY;
        FL_N(f64_exp16)(in, a, out);
        FL_N(f64_put)(e + at, out, left);
    }
}

static void FL_N(list_divide)(double *v, int64_t n, double by) {
    for (int64_t i = 0; i < n; i++) v[i] /= by;
}

/* The largest of n values, -inf if there are none. No NaN. */
static double FL_N(list_max)(const double *v, int64_t n) {
    double top[FL_LANES], best = -(double)INFINITY;
    int64_t whole = n / FL_LANES * FL_LANES;
    for (int l = 0; l < FL_LANES; l++) top[l] = best;
    for (int64_t i = 0; i < whole; i += FL_LANES)
        for (int l = 0; l < FL_LANES; l++) top[l] = v[i + l] > top[l] ? v[i + l] : top[l];
    for (int64_t i = whole; i < n; i++) best = v[i] > best ? v[i] : best;
    for (int l = 0; l < FL_LANES; l++) best = top[l] > best ? top[l] : best;
    return best;
}

/* Where count > 0: v > 0 ? v / theta : v theta. */
static void FL_N(list_penalise)(double *v, const int32_t *count, int64_t n, double theta) {
    for (int64_t i = 0; i < n; i++) {
        double divided = v[i] / theta, scaled = v[i] > 0 ? divided : v[i] * theta;
        v[i] = count[i] ? scaled : v[i];
    }
}

/* 16 values of the combination of three rows, see fl_blend; non-zero if one of theirs is NaN or +inf. */
static uint32_t FL_N(blend16_any)(const fl_blend *b, const double *base, const double *plus, const double *minus,
                                  double *y) {
    const double none = -(double)INFINITY;
    int bare = b->mode == FL_BARE, triple = b->mode == FL_TRIPLE;
    uint32_t bad = 0;
    for (int l = 0; l < FL_LANES; l++) {
        double z = bare ? 0 : base[l], p = plus[l], m = minus[l], v = z + b->scale * (p - m);
        double alone = b->limit != 0 ? b->limit : triple ? z : p; /* beside a -inf of minus */
        v = m < -DBL_MAX ? alone : v;
        v = (v - b->top) - b->tail;
        v = p < b->floor || (triple && z < -DBL_MAX) ? none : v;
        bad |= !(p < (double)INFINITY) | !(m < (double)INFINITY) | !(z < (double)INFINITY);
        y[l] = p != p || m != m || z != z ? (double)NAN : v;
    }
    return bad;
}

/* The same where all of theirs are finite; plain: base + s (plus - minus) and nothing more. The ban is chosen by bits:
 * compilers make no vector of a choice of doubles. */
FL_INLINE void FL_N(blend16)(const fl_blend *b, const double *base, const double *plus, const double *minus, double *y,
                             int plain) {
    const double none = -(double)INFINITY;
    double scale = b->scale, floor = b->floor, top = b->top, tail = b->tail, use = b->mode == FL_BARE ? 0.0 : 1.0;
    uint64_t banned;
    memcpy(&banned, &none, 8);
    for (int l = 0; l < FL_LANES; l++) {
        double d = scale * (plus[l] - minus[l]), v = plain ? base[l] + d : ((base[l] * use + d) - top) - tail;
        uint64_t bits, ban = !plain && plus[l] < floor ? ~(uint64_t)0 : 0;
        memcpy(&bits, &v, 8);
        bits = (bits & ~ban) | (banned & ban);
        memcpy(y + l, &bits, 8);
    }
}

static uint32_t FL_N(f64_blend)(const fl_blend *b, int64_t n, double *wide) {
    uint32_t bad = 0;
    for (int64_t at = 0; at < n; at += FL_LANES) {
        const double *part[3] = {b->base, b->plus, b->minus};
        double v[3][FL_LANES], y[FL_LANES], odd[FL_LANES], most = 0;
        int64_t left = n - at;
        for (int r = 0; r < 3; r++)
            for (int l = 0; l < FL_LANES; l++) v[r][l] = l < left ? part[r][at + l] : 0;
        for (int l = 0; l < FL_LANES; l++) odd[l] = (v[0][l] - v[0][l]) + (v[1][l] - v[1][l]) + (v[2][l] - v[2][l]);
        for (int l = 0; l < FL_LANES; l++) most += odd[l];
        if (most == 0)
            FL_N(blend16)(b, v[0], v[1], v[2], y, 0);
        else
            bad |= FL_N(blend16_any)(b, v[0], v[1], v[2], y);
        FL_N(f64_put)(wide + at, y, left);
    }
    return bad;
}
