/* path_smoothing.c: a token drawn behind smoothing alone: one more pass, in which logits are mapped on their way. */
#include <float.h>
#include <math.h>

#include "kernels/exp_args.h"
#include "plan/output_dense.h"
#include "plan/paths.h"
#include "plan/scan.h"

/* What row_again maps a value x by: d = x - top, d^2 (k + s d), all in units of the row. 0, or -1 beyond floats. */
static int map_of(const fl_job *j, const fl_step_values *v, float top, float *map) {
    double t = j->program.temperature;
    map[0] = top;
    map[1] = (float)(-v->value * (3.0 - v->second) / 2 / t / t);
    map[2] = (float)(v->value * (v->second - 1.0) / 2 / t / t / t);
    return fabs((double)map[1]) < 1e20 && fabs((double)map[2]) < 1e20 ? 0 : -1;
}

/* The mass of all but the top, whose group is summed one by one. Logits count from the top here. */
static void rest_of_row(const fl_job *j, const fl_step_values *v, fl_mass *m) {
    double values[FL_LANES], top = m->top;
    int64_t count = 0, first = m->at / FL_BLOCK * FL_BLOCK + m->at % FL_LANES;
    for (int64_t id = first; id < j->row.n && id < first + FL_BLOCK; id += FL_LANES)
        if (id != m->at && fl_is_live(j->live, id)) {
            double logit = fl_head_value(&j->program, fl_row_value(&j->row, id));
            values[count] = fl_smoothed(v, logit, j->top) - j->top;
            count += values[count] >= -DBL_MAX;
        }
    m->top = 0;
    fl_mass_rest_of_floats(j->k, m, fl_groups(j->row.n), m->at / FL_BLOCK * FL_LANES + m->at % FL_LANES, values, count);
    m->top = top;
}

int fl_run_smoothing(fl_job *j) {
    const fl_step_values *v = &j->program.at[j->program.head];
    const fl_results *o = j->out;
    fl_row *row = &j->row;
    fl_dense d = {.cut_logit = -(double)INFINITY, .cut_id = INT64_MAX, .low = -FLT_MAX, .high = -FLT_MAX, .smooth = v};
    float map[3], top;
    if (row->wide || row->blend || j->kept || o->probs || o->logits || o->ranks || o->top_n)
        return fl_refuse(j, FL_PATH_SMOOTHING);
    if (fl_row_pack(j->s, j->k, row)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    int status = fl_scan_row(j);
    if (status) return status;
    top = j->k->row_max[FL_F32](j->smax, fl_supers(row->n));
    if (fl_head_value(&j->program, (double)top) < j->top || map_of(j, v, top, map))
        return fl_refuse(j, FL_PATH_SMOOTHING);
    d.mass = (fl_mass){.temperature = 1.0, .exponent = -64, .base = j->top, .top = (double)top, .gmax = j->gmax};
    d.mass.args = fl_exp_args_of(1.0, d.mass.exponent);
    d.mass.gsum = fl_buffer(j->s, FL_BUF_GSUM, (size_t)fl_groups(row->n) * sizeof(float));
    if (!d.mass.gsum) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    j->k->row_again[row->dtype](row->x, row->n, j->live, &d.mass.args, map, d.mass.gsum);
    j->trace.passes++;
    d.mass.at = fl_first_equal(j->k, row, j->live, j->gmax, d.mass.top);
    if (d.mass.at < 0) return fl_fail(j, FL_CHANGED, -1, 0);
    rest_of_row(j, v, &d.mass);
    for (int64_t i = 0; i < j->edits.n; i++) j->edits.logit[i] = fl_smoothed(v, j->edits.logit[i], j->top);
    if (fl_edited_masses(j) || fl_dense_sums(j, &d)) return fl_fail(j, FL_NO_MEMORY, -1, 0);
    return fl_end_dense(j, &d);
}
