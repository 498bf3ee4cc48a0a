/* penalties.c: repetition (Keskar et al., 2019), frequency and presence (OpenAI) penalties. Each sees how often, or where
 * last, every edited token occurs in the window of the context that it reads. */
#include "steps/steps.h"

/* By its last position: in full within the window, `third` of it in the older half of that, and falling to nothing over
 * the `second` positions before. */
static double strength(const fl_edits *e, const fl_step_values *v, int64_t last) {
    int64_t begin = v->window < 0 || v->window > e->context.n ? 0 : e->context.n - v->window;
    int64_t from = fl_counts_from(v, e->context.prompt_length), start = begin > from ? begin : from;
    double full = last < start + (e->context.n - start) / 2 ? v->third : 1.0;
    return last < begin ? full * (1.0 - (double)(begin - 1 - last) / v->second) : full;
}

/* Once per distinct token: l > 0 ? l / theta : l theta. */
void fl_edit_repetition_penalty(fl_edits *e, const fl_step_values *v) {
    fl_edits_mark(e, fl_window_start(e, v));
    if (v->second == 0.0 && v->third == 1.0) {
        e->k->list_penalise(e->logit, e->count, e->n, v->value);
        return;
    }
    for (int64_t i = 0; i < e->n; i++) {
        if (!e->count[i]) continue;
        double theta = 1.0 + (v->value - 1.0) * strength(e, v, e->last[i]), l = e->logit[i];
        e->logit[i] = l > 0 ? l / theta : l * theta;
    }
}

/* l -= count alpha. */
void fl_edit_frequency_penalty(fl_edits *e, const fl_step_values *v) {
    fl_edits_count(e, fl_window_start(e, v));
    for (int64_t i = 0; i < e->n; i++) e->logit[i] -= (double)e->count[i] * v->value;
}

/* l -= alpha where the token occurs. */
void fl_edit_presence_penalty(fl_edits *e, const fl_step_values *v) {
    int64_t start = fl_window_start(e, v);
    for (int64_t i = 0; i < e->n; i++) e->logit[i] -= e->last[i] >= start ? v->value : 0.0;
}
