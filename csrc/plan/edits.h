/* edits.h: the tokens that the head edits. */
#ifndef FL_EDITS_H
#define FL_EDITS_H

#include "plan/job.h"

/* Entries for every token that the head's edits name, with the row's values; live: the tokens of the dense passes, NULL
 * if all take part. Returns FL_OK, FL_BAD_TOKEN, FL_STEP_INF, FL_NO_MEMORY. */
int fl_edits_open(fl_scratch *s, const fl_program *p, const fl_row *row, fl_edits *e, const uint16_t **live,
                  fl_where *where);

#endif
