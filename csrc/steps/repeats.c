/* repeats.c: what followed where the last tokens stood before: DRY (p-e-w, 2024) and bans of repeated n-grams. */
#include "steps/steps.h"

/* One place more: length << 32 | the token that followed, unless it is a placeholder. Runs of one token keep the longest. */
static int64_t add_place(int64_t *found, int64_t n, int64_t length, int64_t token) {
    if (token < 0) return n;
    int64_t place = length << 32 | token;
    if (n && (found[n - 1] & 0xffffffff) == token) {
        found[n - 1] = place > found[n - 1] ? place : found[n - 1];
        return n;
    }
    found[n] = place;
    return n + 1;
}

/* The same as find_places by the Z algorithm on the reversed tokens, which is linear whatever they are; z: room for all. */
static int64_t find_all_places(const fl_context *c, int64_t start, int64_t least, int64_t most, int64_t *found,
                               int32_t *z) {
    const int64_t *last = c->ids + c->n - 1;
    int64_t size = c->n - start, n = 0, left = 0, right = 0;
    for (int64_t k = 1; k < size; k++) {
        int64_t m = k < right ? z[k - left] : 0;
        m = m > right - k && k < right ? right - k : m;
        while (k + m < size && last[-m] == last[-k - m]) m++;
        if (k + m > right) {
            left = k;
            right = k + m;
        }
        z[k] = (int32_t)m;
        if (m >= least) n = add_place(found, n, m < most ? m : most, last[1 - k]);
    }
    return n;
}

/* Where, from position `start` on, at least `least` tokens agree with the last ones (counted up to `most`) and another
 * follows. The history's links lead there. Where the text up to `last` goes in periods, all places but those near its
 * beginning say the same as one in the last period, with longer agreement; other texts that take too long are read once. */
static int64_t find_places(const fl_context *c, int64_t start, int64_t least, int64_t most, int64_t *found,
                           int32_t *z) {
    const int32_t *links = c->history && least ? fl_history_links(c->history, least) : NULL;
    int64_t last = c->n - 1, n = 0, work = c->n - start;
    for (int64_t at = links ? links[last] : last - 1; at >= start; at = links ? links[at] : at - 1) {
        int64_t m = 0, period = last - at;
        while (m <= at - start && c->ids[at - m] == c->ids[last - m]) m++;
        if (m >= least) n = add_place(found, n, m < most ? m : most, c->ids[at + 1]);
        int64_t skipped = m >= period ? (m - 2 * period - FL_MAX_ORDER) / period : 0;
        if (skipped > 0)
            at -= skipped * period;
        else if ((work -= m) < 0)
            return find_all_places(c, start, least, most, found, z);
    }
    return n;
}

/* How many of the last tokens, at most `most`, stand behind the last sequence breaker. */
static int64_t behind_breaker(const fl_context *c, const fl_step_values *v, int64_t size, int64_t most) {
    int64_t longest = 0;
    uint64_t heads = 0; /* a bit for the last six bits of each first token */
    for (int64_t b = 0; b < v->entries; b++) {
        int64_t length = v->offsets[b + 1] - v->offsets[b];
        longest = length > longest ? length : longest;
        heads |= UINT64_C(1) << (v->ids[v->offsets[b]] & 63);
    }
    for (int64_t i = 0; i < size && i < most + longest; i++) {
        const int64_t *head = c->ids + c->n - 1 - i;
        int64_t tail = -1;
        if (!(heads >> (*head & 63) & 1)) continue;
        for (int64_t b = 0; b < v->entries; b++) {
            int64_t length = v->offsets[b + 1] - v->offsets[b], same = 0;
            const int64_t *list = v->ids + v->offsets[b];
            while (same < length && same <= i && head[same] == list[same]) same++;
            if (same == length && length - 1 > tail) tail = length - 1;
        }
        if (tail >= 0) return i - tail < most ? i - tail : most;
    }
    return most;
}

static int breaks_alone(const fl_step_values *v, int64_t token) {
    for (int64_t b = 0; b < v->entries; b++)
        if (v->offsets[b + 1] - v->offsets[b] == 1 && v->ids[v->offsets[b]] == token) return 1;
    return 0;
}

static void replace(fl_step_values *v, int64_t *ids, double *values, int64_t n) {
    v->ids = ids;
    v->values = values;
    v->entries = n;
}

/* Tokens that would go on with a repeat of at least `third` tokens, and its length, perhaps more than once. */
void fl_resolve_dry(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    int64_t size = v->window < 0 || v->window > c->n ? c->n : v->window, least = (int64_t)v->third, most = 0, n = 0;
    int64_t places = 0;
    if (v->value != 0.0 && size > 0)
        places = find_places(c, c->n - size, least, INT32_MAX, ids, (int32_t *)(void *)values);
    for (int64_t i = 0; i < places; i++) most = ids[i] >> 32 > most ? ids[i] >> 32 : most;
    if (places) most = behind_breaker(c, v, size, most);
    for (int64_t i = 0; i < places && most >= least; i++) {
        int64_t length = ids[i] >> 32, token = ids[i] & 0xffffffff;
        ids[n] = token;
        values[n] = (double)(length < most ? length : most);
        n += !breaks_alone(v, token);
    }
    replace(v, ids, values, n);
}

/* base^n by squaring. */
static double power(double base, int64_t n) {
    double result = 1;
    for (; n > 0; n /= 2, base *= base)
        if (n % 2) result *= base;
    return result;
}

/* l -= multiplier base^(length - allowed_length), of the longest repeat; base^exponent stays in the range of floats. */
void fl_edit_dry(fl_edits *e, const fl_step_values *v) {
    int64_t most = v->second > 1.000001 ? (int64_t)(88.7228391 / fl_log(v->second)) : INT32_MAX;
    e->counted_from = -1;
    for (int64_t i = 0; i < v->entries; i++) {
        int64_t at = fl_edits_find(e, v->ids[i]);
        if (at >= 0) e->count[at] = -1;
    }
    for (int64_t i = 0; i < v->entries; i++) {
        int64_t at = fl_edits_find(e, v->ids[i]);
        if (at >= 0 && e->count[at] < (int32_t)v->values[i]) e->count[at] = (int32_t)v->values[i];
    }
    for (int64_t i = 0; i < v->entries; i++) {
        int64_t at = fl_edits_find(e, v->ids[i]);
        if (at < 0 || e->count[at] < 0) continue;
        int64_t exponent = e->count[at] - (int64_t)v->third;
        e->logit[at] -= v->value * power(v->second, exponent < most ? exponent : most);
        e->count[at] = -1;
    }
}

/* Bans the n tokens. */
static void ban(fl_step_values *v, int64_t *ids, double *values, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        ids[i] &= 0xffffffff;
        values[i] = -(double)INFINITY;
    }
    replace(v, ids, values, n);
}

/* Whatever followed the last size - 1 tokens before; any token at all if size is 1. */
void fl_resolve_no_repeat_ngram(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    int64_t least = (int64_t)v->value - 1, n = 0;
    if (least == 0 && c->history)
        for (int32_t d = c->history->newest; d >= 0; d = c->history->older[d])
            n = add_place(ids, n, 0, c->history->id[d]);
    else if (least == 0)
        for (int64_t i = c->n; i > 0; i--) n = add_place(ids, n, 0, c->ids[i - 1]);
    else if (least > 0 && c->n > 0)
        n = find_places(c, 0, least, least, ids, (int32_t *)(void *)values);
    ban(v, ids, values, n);
}

void fl_edit_no_repeat_ngram(fl_edits *e, const fl_step_values *v) { fl_edit_logit_bias(e, v); }

/* Whatever follows the last size - 1 tokens in the tokens that the step names. */
void fl_resolve_encoder_no_repeat_ngram(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    int64_t before = (int64_t)v->value - 1, n = 0;
    for (int64_t at = before; before >= 0 && before <= c->n && at < v->entries; at++)
        if (fl_context_ends(c, v->ids + at - before, before)) n = add_place(ids, n, 0, v->ids[at]);
    ban(v, ids, values, n);
}

void fl_edit_encoder_no_repeat_ngram(fl_edits *e, const fl_step_values *v) { fl_edit_logit_bias(e, v); }
