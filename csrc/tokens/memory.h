/* memory.h: what steps that hear the drawn tokens remember. */
#ifndef FL_MEMORY_H
#define FL_MEMORY_H

#include "tokens/step_values.h"

/* Before the first token, and behind one that was `observed`. */
void fl_memory_begin(const fl_step_values *v, double *memory);
void fl_memory_next(const fl_step_values *v, double observed, double *memory);
/* The step's part of a row's memory, or what it remembers before the first token. */
void fl_memory_read(fl_step_values *v, const double *memory);

#endif
