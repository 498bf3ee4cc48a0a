/* early_floor.c: the floor that cuts allow before any mass is known. The list is a prefix of all tokens sorted by (logit, id)
 * that holds everything the first cuts keep. A later rank or ratio cut may lower it beforehand only if no mass computed in
 * between would notice: before the first mass step, or behind it when it is the plan's only mass step and nothing was cut
 * before. Edits are a barrier. */
#include "plan/early_floor.h"
#include <float.h>
#include "base/math.h"
#include "plan/collect.h"

float fl_early_floor(fl_job *j, int32_t from, int64_t *equals) {
    const fl_program *p = &j->program;
    float floor = -FLT_MAX;
    double between = 1.0;
    int smoothed = 0;
    *equals = INT64_MAX;
    for (int32_t i = from; i < p->count; i++) {
        const fl_step_values *v = &p->at[i];
        float own = -FLT_MAX;
        int64_t ties = INT64_MAX;
        if (v->kind == FL_EDIT || (fl_is_mass_step(v) && i > p->head) || fl_is_shaped(v)) break;
        if (v->op == FL_OP_temperature) {
            between *= v->value;
        } else if (v->op == FL_OP_smoothing) {
            smoothed = 1;
        } else if (smoothed && (v->op == FL_OP_min_p || v->resolved)) {
            continue; /* its floor is one of mapped logits */
        } else if (v->op == FL_OP_min_p || v->resolved) {
            /* The margin covers the operands too, which may cancel. */
            double drop = v->resolved ? v->floor - j->top : between * fl_log(v->value);
            double slack = (fabs(j->top) + fabs(drop)) * 0x1p-40;
            own = fl_value_below(j, j->top + drop - slack);
            if (v->min_keep > 1) {
                float kept = fl_job_floor(j, v->min_keep);
                own = kept < own ? kept : own;
            }
        } else {
            int64_t rank = v->op == FL_OP_greedy ? 1 : v->op == FL_OP_top_h ? 100 : (int64_t)v->value;
            rank = v->op != FL_OP_greedy && v->min_keep > rank ? v->min_keep : rank;
            own = fl_job_floor(j, rank);
            if (smoothed) /* what lies next to it may become equal */
                own = own > -FLT_MAX ? fl_value_below(j, fl_head_value(p, (double)own)) : own;
            else if (!(v->flags & FL_TIES_KEEP))
                ties = rank;
        }
        if (own > floor || (own == floor && ties < *equals)) *equals = ties;
        floor = own > floor ? own : floor;
        if (v->op == FL_OP_top_h) break; /* it weighs all of its 100 */
    }
    return floor;
}
