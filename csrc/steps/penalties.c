/* penalties.c: repetition (Keskar et al., 2019), frequency and presence (OpenAI) penalties. Each sees how often every
 * edited token occurs in the window of the context that it reads. */
#include "../pipeline.h"

/* Once per distinct token: l > 0 ? l / theta : l theta. */
void fl_edit_repetition_penalty(fl_edits *e, const fl_step_values *v) {
    fl_edits_count(e, fl_window_start(e, v, 0));
    e->k->list_penalise(e->logit, e->count, e->n, v->value);
}

/* l -= count alpha. */
void fl_edit_frequency_penalty(fl_edits *e, const fl_step_values *v) {
    fl_edits_count(e, fl_window_start(e, v, e->context.prompt_length));
    for (int64_t i = 0; i < e->n; i++) e->logit[i] -= (double)e->count[i] * v->value;
}

/* l -= alpha where the token occurs. */
void fl_edit_presence_penalty(fl_edits *e, const fl_step_values *v) {
    fl_edits_count(e, fl_window_start(e, v, e->context.prompt_length));
    for (int64_t i = 0; i < e->n; i++) e->logit[i] -= e->count[i] ? v->value : 0.0;
}
