/* memory.c: what steps that hear the drawn tokens remember from token to token. It starts anew with each sequence. */
#include "tokens/memory.h"
#include <string.h>

/* mirostat: mu, 2 tau at first; mu - eta (S - tau) behind a token of surprise S. adaptive_p: weighted sum and total weight
 * of the probabilities p of the tokens, their average being the target at first. */
void fl_memory_begin(const fl_step_values *v, double *memory) {
    int weighs = v->op == FL_OP_adaptive_p;
    memory[0] = weighs ? v->value / (1.0 - v->second) : 2.0 * v->second;
    memory[1] = weighs ? 1.0 / (1.0 - v->second) : 0.0;
}

void fl_memory_next(const fl_step_values *v, double observed, double *memory) {
    if (v->op == FL_OP_mirostat) {
        memory[0] -= v->third * (observed - v->second);
    } else {
        memory[0] = observed + v->second * memory[0];
        memory[1] = 1.0 + v->second * memory[1];
    }
}

void fl_memory_read(fl_step_values *v, const double *memory) {
    const double *own = memory ? memory + v->index * FL_MEMORY : NULL;
    if (own && own[0] == own[0])
        memcpy(v->memory, own, sizeof v->memory);
    else
        fl_memory_begin(v, v->memory);
}

void fl_plan_remember(const fl_plan *plan, int64_t row, const double *observed, double *memory) {
    uint64_t saved = fl_env_enter();
    for (int32_t i = 0; i < plan->count; i++) {
        fl_step_values v;
        fl_step_values_read(&v, &plan->steps[i], row, i);
        if (!v.hears || observed[i] != observed[i]) continue;
        fl_memory_read(&v, memory);
        fl_memory_next(&v, observed[i], v.memory);
        memcpy(memory + i * FL_MEMORY, v.memory, sizeof v.memory);
    }
    fl_env_leave(saved);
}
