/* Running a plan: one operation after the other, each acknowledged; on a
 * failure what was done is undone, last first. */
#ifndef NETBR_RUN_H
#define NETBR_RUN_H

#include "nl.h"
#include "op.h"
#include "state.h"

enum run_result {
	RUN_DONE,	/* everything was done */
	RUN_UNDONE,	/* a step failed, the old state is in force */
	RUN_BROKEN,	/* a step failed, and undoing did too: said what */
};

/* What running and undoing need. All borrowed. */
struct run_env {
	struct nlx *nl;
	const char *root;
	const struct state *old;	/* the record to put back */
};

/* A process that undoes the run should it die; it inherits the lock, and
 * holds it as long. */
struct guard {
	int pid, fd;
	int *begun;	/* the last step that was begun, in memory that both
			 * have: it outlives the run */
};

/* Runs all operations under a new guard. After RUN_DONE the guard still
 * watches, until guard_end() or guard_hold(). A plan that was run before
 * (p->before) is undone along with this one. */
enum run_result run_plan(const struct run_env *e, struct plan *p,
			 struct guard *g);

/* Did the kernel refuse a program on a tap (OP_SCREEN), for want of the code?
 * Then it is not wanted when what was done is read back. */
extern bool run_screens_missing;
/* Undoes a plan that was run, and those before it; the record goes back. */
enum run_result run_undo(const struct run_env *e, struct plan *p);

/* All is well: the guard ends. */
void guard_end(struct guard *g);
/* From now on the guard waits for a confirmation (try.h), whatever becomes
 * of this process. 0, or -errno: then it watches as before. */
int guard_hold(struct guard *g, unsigned int timeout_s);
/* Waits for the end of a hold. RC_OK, RC_UNCONFIRMED or RC_BROKEN. */
int guard_outcome(struct guard *g);

#endif
