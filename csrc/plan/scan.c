/* scan.c: one scan of the row for its maxima, and the largest logit behind the head. */
#include "plan/scan.h"
#include <float.h>
#include "plan/blend.h"

static int32_t last_edit(const fl_job *j) {
    int32_t last = -1;
    for (int32_t i = 0; i < j->program.head; i++)
        if (j->program.at[i].kind == FL_EDIT) last = j->program.at[i].index;
    return last;
}

int fl_set_top(fl_job *j, double live_top) {
    double edited = j->k->list_max(j->edits.logit, j->edits.n), value = live_top;
    for (int32_t i = 0; i < j->program.head; i++) {
        if (j->program.at[i].op != FL_OP_temperature) continue;
        value /= j->program.at[i].value;
        if (value > DBL_MAX) return fl_fail(j, FL_STEP_INF, j->program.at[i].index, value);
    }
    j->top = value > edited ? value : edited;
    if (j->top > DBL_MAX && !j->row.blend) return fl_fail(j, FL_CHANGED, -1, 0); /* the row holds no +inf any longer */
    if (j->top >= -DBL_MAX) return FL_OK;
    if (j->parts_n && j->row.blend) return fl_blend_fault(j, FL_ALL_BANNED);
    int raw = j->k->row_count[j->row.dtype](j->row.x, j->row.n, NULL, -FLT_MAX) > 0;
    if (!raw && j->parts_n) return fl_blend_fault(j, FL_ALL_BANNED);
    return raw ? fl_fail(j, FL_ALL_BANNED, last_edit(j), 0) : fl_fail(j, FL_NO_FINITE, -1, 0);
}

int fl_scan_spread(fl_job *j, float centre, double *spread) {
    const fl_row *row = &j->row;
    j->gmax = fl_buffer(j->s, FL_BUF_GMAX, (size_t)fl_groups(row->n) * sizeof(float));
    j->smax = fl_buffer(j->s, FL_BUF_SMAX, (size_t)fl_supers(row->n) * sizeof(float));
    j->reached.groups = -1;
    if (!j->gmax || !j->smax) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    if (row->blend && row->x && fl_blend_settle(j)) return j->where.status;
    if (row->blend) {
        j->trace.passes++;
        if (fl_blend_scan(j)) return fl_set_top(j, fl_blend_top(j, j->k->row_max[FL_F32](j->smax, fl_supers(row->n))));
        int status = fl_blend_settle(j);
        if (status) return status;
    }
    uint32_t bad = row->bad;
    if (spread)
        bad |= j->k->row_spread[row->dtype](row->x, row->n, j->live, centre, j->gmax, j->smax, spread);
    else
        bad |= j->k->row_scan[row->dtype](row->x, row->n, j->live, j->gmax, j->smax);
    float top = j->k->row_max[FL_F32](j->smax, fl_supers(row->n));
    j->trace.passes++;
    int fault = bad || top > FLT_MAX ? fl_row_fault(row) : FL_OK;
    if (fault) return fl_fail(j, fault, -1, 0);
    return fl_set_top(j, row->wide ? fl_wide_top(row, j->live, j->gmax, top) : (double)top);
}

int fl_scan_row(fl_job *j) { return fl_scan_spread(j, 0, NULL); }

void fl_set_base(fl_job *j, fl_mass *m) {
    if (!m->gsum64) return;
    m->base = fl_head_value(&j->program, m->args64.shift);
    j->trace.mode |= 256;
}
