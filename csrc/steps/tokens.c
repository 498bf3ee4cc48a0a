/* tokens.c: edits of tokens that the step names. Bans are biases of -inf; a forced token is all that the words allow. */
#include "steps/steps.h"

/* Once per distinct token of the encoder's input: l > 0 ? l theta : l / theta. */
void fl_edit_encoder_repetition_penalty(fl_edits *e, const fl_step_values *v) {
    for (int64_t i = 0; i < v->entries; i++) {
        int64_t at = fl_edits_find(e, v->ids[i]);
        if (at >= 0) e->logit[at] = e->logit[at] > 0 ? e->logit[at] * v->value : e->logit[at] / v->value;
    }
}

static void only_if(fl_step_values *v, int holds) {
    if (holds) return;
    v->entries = 0;
    v->words = NULL;
}

void fl_resolve_bad_words(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    int64_t from = v->flags & FL_OUTPUT_ONLY ? c->prompt_length : 0;
    from = from < c->n ? from : c->n;
    fl_context seen = {.ids = c->ids + from, .n = c->n - from};
    fl_resolve_sequence_bias(&seen, v, ids, values);
}

/* begin_index, or where the prompt ends. */
void fl_resolve_begin_suppress_tokens(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    (void)ids;
    (void)values;
    only_if(v, (double)c->n == (v->value == v->value ? v->value : (double)c->prompt_length));
}

void fl_resolve_forced_bos_token(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    (void)ids;
    (void)values;
    only_if(v, c->n == 1 && v->entries);
}

void fl_resolve_forced_eos_token(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    (void)ids;
    (void)values;
    only_if(v, (double)c->n == v->value - 1.0 && v->entries);
}

void fl_resolve_min_length(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    (void)ids;
    (void)values;
    only_if(v, (double)c->n < v->value);
}

void fl_resolve_min_new_tokens(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    (void)ids;
    (void)values;
    only_if(v, (double)(c->n - c->prompt_length) < v->value);
}

/* factor^k, k tokens behind the start, at most e^69: by then the token is first wherever it is not banned. */
void fl_resolve_exponential_decay_length_penalty(const fl_context *c, fl_step_values *v, int64_t *ids, double *values) {
    (void)ids;
    double over = (double)(c->n - c->prompt_length) - v->value, power = over * fl_log(v->second);
    only_if(v, over > 0);
    for (int64_t i = 0; i < v->entries; i++) values[i] = fl_exp(power < 69.0 ? power : 69.0) - 1.0;
    v->values = values;
}

/* l + |l| (factor^k - 1). */
void fl_edit_exponential_decay_length_penalty(fl_edits *e, const fl_step_values *v) {
    for (int64_t i = 0; i < v->entries; i++) {
        int64_t at = fl_edits_find(e, v->ids[i]);
        if (at >= 0 && e->logit[at] >= -DBL_MAX) e->logit[at] += fabs(e->logit[at]) * v->values[i];
    }
}

static void force(fl_edits *e, const fl_step_values *v) {
    fl_edit_mask(e, v);
    for (int64_t i = 0; i < v->entries; i++) {
        int64_t at = fl_edits_find(e, v->ids[i]);
        if (at >= 0 && e->logit[at] <= DBL_MAX) e->logit[at] = 0.0; /* +inf and NaN stay to be found */
    }
}

void fl_edit_forced_bos_token(fl_edits *e, const fl_step_values *v) { force(e, v); }
void fl_edit_forced_eos_token(fl_edits *e, const fl_step_values *v) { force(e, v); }
void fl_edit_allowed_tokens(fl_edits *e, const fl_step_values *v) { fl_edit_mask(e, v); }
void fl_edit_bad_words(fl_edits *e, const fl_step_values *v) { fl_edit_logit_bias(e, v); }
void fl_edit_suppress_tokens(fl_edits *e, const fl_step_values *v) { fl_edit_logit_bias(e, v); }
void fl_edit_begin_suppress_tokens(fl_edits *e, const fl_step_values *v) { fl_edit_logit_bias(e, v); }
void fl_edit_min_length(fl_edits *e, const fl_step_values *v) { fl_edit_logit_bias(e, v); }
void fl_edit_min_new_tokens(fl_edits *e, const fl_step_values *v) { fl_edit_logit_bias(e, v); }

/* The row is repaired before it is read (fl_row_repair). */
void fl_edit_remove_invalid_values(fl_edits *e, const fl_step_values *v) {
    (void)e;
    (void)v;
}
