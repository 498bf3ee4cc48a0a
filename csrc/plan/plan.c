/* plan.c: which path a row takes.
 *
 * Order of work: edits beside the row -> one dense pass -> floor -> collect -> the steps one by one on the short list ->
 * end. Paths leave out what the plan, or what is wanted of the row, does not need. */
#include "plan/plan.h"

#include "plan/blend.h"
#include "plan/edits.h"
#include "plan/gumbel.h"
#include "plan/output_dense.h"
#include "plan/paths.h"

static int cuts(const fl_job *j) { return j->program.head < j->program.count; }
static const fl_step_values *first(const fl_job *j) { return &j->program.at[j->program.head]; }

static int asks_distribution(const fl_job *j) { return cuts(j) && fl_is_shaped(first(j)); }
static int is_noise(const fl_job *j) { return !cuts(j) && fl_gumbel_alone(j); }
static int is_whole(const fl_job *j) { return !cuts(j) && fl_ends_dense(j); }
static int starts_with_mass(const fl_job *j) { return fl_starts_with_mass(&j->program); }
static int is_smoothing(const fl_job *j) {
    return j->program.count == j->program.head + 1 && first(j)->op == FL_OP_smoothing && fl_ends_dense(j);
}
/* Ratio cuts alone, each with min_keep 1, of a long row. */
static int is_cut(const fl_job *j) {
    if (fl_groups(j->row.n) <= FL_MANY_GROUPS) return 0;
    for (int32_t i = j->program.head; i < j->program.count; i++)
        if ((j->program.at[i].op != FL_OP_min_p && !j->program.at[i].resolved) || j->program.at[i].min_keep > 1)
            return 0;
    return fl_ends_dense(j) && j->program.head < j->program.count;
}
static int any(const fl_job *j) { return j != NULL; }

/* The first path that may take a row, and has not refused it, runs it. HACKING.md has the same table with the reasons. */
static const struct {
    int (*may)(const fl_job *j); /* the plans that it takes */
    int (*run)(fl_job *j);
} paths[] = {
    [FL_PATH_DISTRIBUTION] = {asks_distribution, fl_run_distribution},
    [FL_PATH_GUMBEL] = {is_noise, fl_run_gumbel},
    [FL_PATH_MASS] = {is_whole, fl_run_mass},
    [FL_PATH_NUCLEUS] = {starts_with_mass, fl_run_nucleus},
    [FL_PATH_SMOOTHING] = {is_smoothing, fl_run_smoothing},
    [FL_PATH_CUT] = {is_cut, fl_run_cut},
    [FL_PATH_FLOOR] = {any, fl_run_floor},
};

enum { FEW, FLOATS, DOUBLES };

/* What a combination of rows becomes: nothing where few tokens are kept, its nearest floats where masses are summed to draw
 * or to cut, doubles elsewhere. */
static int form_of(const fl_job *j) {
    const fl_program *p = &j->program;
    if (p->head == p->count) return fl_ends_dense(j) ? FLOATS : DOUBLES;
    const fl_step_values *first = &p->at[p->head];
    if (!fl_is_shaped(first) && !fl_starts_with_mass(p)) return FEW;
    return first->op == FL_OP_top_p && first->min_keep == 1 && !fl_has_joint(p) ? FLOATS : DOUBLES;
}

/* Before the first path, and again where the head has changed: the edits work, a combination of rows takes its form. */
static int open_row(fl_job *j) {
    int form = j->row.blend ? form_of(j) : FEW;
    j->opened = 1;
    if (form == FLOATS) fl_blend_center(j);
    if (j->program.edits) {
        fl_where where = {0};
        where.step = -1;
        int status = fl_edits_open(j->s, &j->program, &j->row, &j->edits, &j->live, &where);
        if (status && j->parts_n && (status == FL_NAN || status == FL_POS_INF)) return fl_blend_fault(j, FL_STEP_INF);
        if (status) return fl_fail(j, status, where.step, where.value);
        j->trace.edited = j->edits.n;
    }
    if (j->row.n == 0) return fl_fail(j, FL_NO_FINITE, -1, 0);
    return form != FEW && !(form == FLOATS && fl_blend_image(j)) ? fl_blend_settle(j) : FL_OK;
}

int fl_run_all(fl_job *j) {
    int status;
    do {
        int path = 0;
        status = j->opened ? FL_OK : open_row(j);
        if (status) return status;
        while (j->refused >> path & 1 || !paths[path].may(j)) path++;
        status = paths[path].run(j);
    } while (status == FL_AGAIN);
    return status;
}
