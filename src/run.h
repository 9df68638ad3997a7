/* Running a plan: one operation after the other, each acknowledged; on a
 * failure what was done is undone, last first. */
#ifndef NETBR_RUN_H
#define NETBR_RUN_H

#include "nl.h"
#include "op.h"

enum run_result {
	RUN_DONE,	/* everything was done */
	RUN_UNDONE,	/* a step failed, the old state is in force */
	RUN_BROKEN,	/* a step failed, and undoing did too: said what */
};

/* Runs all operations. A guard process watches: if this one dies in the
 * middle, the guard undoes what was done; it inherits the lock and holds it
 * as long. */
enum run_result run_plan(struct nlx *nl, struct plan *p);

/* Undoes a plan that was run. */
enum run_result run_undo(struct nlx *nl, struct plan *p);

/* Undoes what is marked done, last first. Returns how many steps failed,
 * after a message for each. */
unsigned int run_undo_done(struct nlx *nl, struct plan *p);

#endif
