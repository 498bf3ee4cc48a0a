/* blend_tpl.h: passes over two or three rows that see their combination l = base + s (plus - minus) - shift, see fl_blend.
 * Included once per type. The float passes are for thresholds alone: values are taken in double. */

typedef struct {
    vf scale, shift, floor, squares[4];
} FL_X(blender);

/* Vector i of the combination but for the shift, in float, and the lanes that are not banned. squares: of plus - minus,
 * not finite where a value is bad or the difference infinite; seen: the parts that a ban hides from it. */
FL_EXP_INLINE vf FL_X(blend_at)(const fl_blend *b, int64_t n, int64_t i, FL_X(blender) * k, vm *stay, vf *seen, int j,
                                int mode, int whole) {
    int64_t at = i * FL_LANES * FL_SIZE;
    const char *base = b->base, *plus = b->plus, *minus = b->minus;
    vf p = whole ? FL_LOAD(plus + at) : FL_X(vector_at)(plus, n, i, -INFINITY);
    vf m = whole ? FL_LOAD(minus + at) : FL_X(vector_at)(minus, n, i, 0);
    vf z = m;
    *stay = vf_nlt(p, k->floor);
    *seen = m;
    if (mode == FL_TRIPLE) {
        z = whole ? FL_LOAD(base + at) : FL_X(vector_at)(base, n, i, 0);
        *stay = vm_and(*stay, vf_nlt(z, vf_set1(-FLT_MAX)));
        *seen = vf_add(vf_add(m, p), z);
    }
    vf d = vf_keep(*stay, vf_sub(p, m));
    k->squares[j] = vf_fma(d, d, k->squares[j]);
    return mode == FL_BARE ? d : vf_fma(d, k->scale, z);
}

FL_INLINE FL_X(blender) FL_X(blender_of)(const fl_blend *b) {
    return (FL_X(blender)){.scale = vf_set1(b->scale32),
                           .shift = vf_set1(b->shift32),
                           .floor = vf_set1(b->floor32),
                           .squares = {vf_set1(0), vf_set1(0), vf_set1(0), vf_set1(0)}};
}

FL_INLINE vf FL_X(blend_block)(const fl_blend *x, int64_t n, int64_t b, const uint16_t *live, FL_X(blender) * k,
                               vm *bad, int mode, int whole) {
    vf m[2] = {vf_set1(-INFINITY), vf_set1(-INFINITY)};
    for (int c = 0; c < 16; c += 4) {
        vf seen[4];
        for (int j = 0; j < 4; j++) {
            int64_t i = b * 16 + c + j;
            vm stay;
            vf a = FL_X(blend_at)(x, n, i, k, &stay, seen + j, j, mode, whole), *to = m + j % 2;
            if (live) stay = vm_and(stay, whole || i * FL_LANES < n ? vm_load(live + i) : vm_zero());
            *to = vf_max_where(stay, a, *to);
        }
        *bad = vm_or(*bad, vf_nlt(vf_sum4(seen), vf_set1(INFINITY)));
    }
    return vf_sub(vf_max(m[0], m[1]), k->shift);
}

FL_INLINE float FL_X(blend_scan_body)(const fl_blend *x, int64_t n, const uint16_t *live, float *gmax, float *smax,
                                      int mode) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, whole = n / FL_BLOCK;
    vf none = vf_set1(-INFINITY), top = none;
    FL_X(blender) k = FL_X(blender_of)(x);
    vm bad = vm_zero();
    for (int64_t b = 0; b < blocks; b++) {
        vf m = b < whole ? FL_X(blend_block)(x, n, b, live, &k, &bad, mode, 1)
                         : FL_X(blend_block)(x, n, b, live, &k, &bad, mode, 0);
        vf_store_f32(gmax + b * FL_LANES, m);
        top = vf_max(m, top);
        if (b % 16 == 15 || b == blocks - 1) {
            vf_store_f32(smax + b / 16 * FL_LANES, top);
            top = none;
        }
    }
    return vm_bits(bad) ? INFINITY : (float)FL_N(sum_lanes)(vf_sum4(k.squares));
}

/* row_scan of the combination. Returns the sum of (plus - minus)^2 over what is not banned; not finite where values are
 * NaN or +inf, or where floats may not do. */
static float FL_X(blend_scan)(const fl_blend *x, int64_t n, const uint16_t *live, float *gmax, float *smax) {
    if (x->mode == FL_TRIPLE) return FL_X(blend_scan_body)(x, n, live, gmax, smax, FL_TRIPLE);
    if (x->mode == FL_BARE) return FL_X(blend_scan_body)(x, n, live, gmax, smax, FL_BARE);
    if (live) return FL_X(blend_scan_body)(x, n, live, gmax, smax, FL_PAIR);
    return FL_X(blend_scan_body)(x, n, NULL, gmax, smax, FL_PAIR);
}

/* Ids, ascending, of the live tokens whose combination is >= lo, in blocks whose group maxima reach it; -1 when `room` might
 * not hold them and 16 more. */
static int64_t FL_X(blend_collect)(const fl_blend *x, int64_t n, const uint16_t *live, const float *gmax, float lo,
                                   int64_t room, int32_t *ids) {
    int64_t blocks = (n + FL_BLOCK - 1) / FL_BLOCK, vectors = (n + FL_LANES - 1) / FL_LANES, count = 0;
    FL_X(blender) k = FL_X(blender_of)(x);
    vf floor = vf_set1(lo), seen;
    vm stay;
    for (int64_t b = 0; b < blocks; b++) {
        if (!vm_bits(vf_ge(vf_load_f32(gmax + b * FL_LANES), floor))) continue;
        for (int64_t i = b * 16; i < b * 16 + 16 && i < vectors; i++) {
            vf a = x->mode == FL_TRIPLE ? FL_X(blend_at)(x, n, i, &k, &stay, &seen, 0, FL_TRIPLE, 0)
                   : x->mode == FL_BARE ? FL_X(blend_at)(x, n, i, &k, &stay, &seen, 0, FL_BARE, 0)
                                        : FL_X(blend_at)(x, n, i, &k, &stay, &seen, 0, FL_PAIR, 0);
            unsigned hit = vm_bits(vm_and(stay, vf_ge(vf_sub(a, k.shift), floor)));
            if (live) hit &= live[i];
            if (!hit) continue;
            if (count + FL_LANES > room) return -1;
            vec_compress_ids(ids + count, hit, (int32_t)(i * FL_LANES));
            count += __builtin_popcount(hit);
        }
    }
    return count;
}

/* Values at .. at + 15 of the combination; those behind the row count as 0. all: they are finite and in the row. */
FL_INLINE uint32_t FL_X(row_blend16)(const fl_blend *b, int64_t n, int64_t at, double *wide, void *out, int all,
                                     int plain) {
    const void *part[3] = {b->base, b->plus, b->minus};
    double v[3][FL_LANES], y[FL_LANES];
    float w[FL_LANES];
    uint32_t bad = 0;
    for (int r = 0; r < 3; r++) {
        vf x = all ? FL_LOAD((const char *)part[r] + at * FL_SIZE) : FL_X(vector_at)(part[r], n, at / FL_LANES, 0);
        vf_store_f32(w, x);
        for (int l = 0; l < FL_LANES; l++) v[r][l] = (double)w[l];
    }
    if (all)
        FL_N(blend16)(b, v[0], v[1], v[2], y, plain);
    else
        bad = FL_N(blend16_any)(b, v[0], v[1], v[2], y);
    if (wide) {
        FL_N(f64_put)(wide + at, y, n - at);
        return bad;
    }
    for (int l = 0; l < FL_LANES; l++) w[l] = (float)y[l];
    char *to = (char *)out + at * FL_SIZE;
    if (all || n - at >= FL_LANES)
        FL_STORE(to, vf_load_f32(w));
    else
        FL_STORE_N(to, n - at, vf_load_f32(w));
    return bad;
}

/* Whether all values of a block in the row are finite. */
FL_INLINE int FL_X(blend_finite)(const fl_blend *b, int64_t at) {
    vf zero = vf_set1(0), odd[3] = {zero, zero, zero}; /* x - x: 0, else NaN */
    const char *part[3] = {b->base, b->plus, b->minus};
    for (int64_t i = at; i < at + FL_BLOCK; i += FL_LANES)
        for (int r = 0; r < 3; r++) {
            vf x = FL_LOAD(part[r] + i * FL_SIZE);
            odd[r] = vf_add(odd[r], vf_sub(x, x));
        }
    return vm_bits(vf_ge(vf_add(vf_add(odd[0], odd[1]), odd[2]), zero)) == 0xffff;
}

/* The combination in double, to `wide`, or rounded to the type of the rows, to `out`. Non-zero if a value is NaN or
 * +inf. */
static uint32_t FL_X(row_blend)(const fl_blend *given, int64_t n, double *wide, void *out) {
    fl_blend b = *given; /* nothing that is written changes it */
    int plain = !wide && b.mode != FL_BARE && b.top == 0 && b.tail == 0 && b.floor == -DBL_MAX;
    uint32_t bad = 0;
    for (int64_t at = 0; at < n; at += FL_BLOCK) {
        int64_t end = at + FL_BLOCK;
        if (end > n || !FL_X(blend_finite)(&b, at)) {
            for (int64_t i = at; i < end && i < n; i += FL_LANES) bad |= FL_X(row_blend16)(&b, n, i, wide, out, 0, 0);
        } else if (plain) {
            for (int64_t i = at; i < end; i += FL_LANES) FL_X(row_blend16)(&b, n, i, NULL, out, 1, 1);
        } else if (wide) {
            for (int64_t i = at; i < end; i += FL_LANES) FL_X(row_blend16)(&b, n, i, wide, NULL, 1, 0);
        } else {
            for (int64_t i = at; i < end; i += FL_LANES) FL_X(row_blend16)(&b, n, i, NULL, out, 1, 0);
        }
    }
    return bad;
}
