/* penalties.c: repetition (Keskar et al., 2019), frequency and presence (OpenAI) penalties. Each reads the context
 * positions of its window; slots holds the entry of every position. */
#include "../pipeline.h"

/* Once per distinct token: l > 0 ? l / theta : l theta. */
void fl_edit_repetition_penalty(fl_edits *e, const fl_step_values *v) {
    for (int64_t i = fl_window_start(e, v, 0); i < e->context_n; i++) {
        if (e->slots[i] < 0) continue;
        fl_edit *t = &e->at[e->slots[i]];
        if (t->stamp == e->stamp) continue;
        t->stamp = e->stamp;
        t->logit = t->logit > 0 ? t->logit / v->value : t->logit * v->value;
    }
}

/* l -= count alpha: counted first, subtracted in one rounding. */
void fl_edit_frequency_penalty(fl_edits *e, const fl_step_values *v) {
    int64_t start = fl_window_start(e, v, e->prompt_length);
    for (int64_t i = start; i < e->context_n; i++)
        if (e->slots[i] >= 0) e->at[e->slots[i]].count++;
    for (int64_t i = start; i < e->context_n; i++) {
        if (e->slots[i] < 0) continue;
        fl_edit *t = &e->at[e->slots[i]];
        t->logit -= (double)t->count * v->value;
        t->count = 0;
    }
}

/* l -= alpha where the token occurs. */
void fl_edit_presence_penalty(fl_edits *e, const fl_step_values *v) {
    for (int64_t i = fl_window_start(e, v, e->prompt_length); i < e->context_n; i++) {
        if (e->slots[i] < 0) continue;
        fl_edit *t = &e->at[e->slots[i]];
        if (t->stamp != e->stamp) t->logit -= v->value;
        t->stamp = e->stamp;
    }
}
