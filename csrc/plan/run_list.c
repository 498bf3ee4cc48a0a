/* run_list.c: the steps one by one on the list, and the end. */
#include "plan/run_list.h"
#include "plan/output_list.h"

int fl_run_rest(fl_job *j, int32_t from) {
    fl_cands *c = &j->list;
    if (!c->n) return fl_fail(j, FL_CHANGED, -1, 0); /* the top of the row has gone */
    if (fl_has_joint(&j->program)) {
        c->joint = fl_buffer(j->s, FL_BUF_JOINT, (size_t)(c->raw + 1) * sizeof(double));
        if (!c->joint) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    }
    if (j->observed && j->program.shares) {
        c->shares = fl_buffer(j->s, FL_BUF_SHARES, (size_t)(c->raw * j->program.shares) * sizeof(double));
        if (!c->shares) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    }
    for (int32_t i = from; i < j->program.count; i++) {
        c->more = c->partial = 0;
        int status = fl_cands_step(c, &j->program.at[i]);
        if (status) return fl_fail(j, status, j->program.at[i].index, 0);
    }
    return fl_end_list(j);
}

int fl_run_list(fl_job *j) {
    j->list.partial = 0;
    return fl_run_rest(j, j->program.head);
}
