/* One run of netbr-apply: the config, the machine, the record, the plan. */
#ifndef NETBR_SESSION_H
#define NETBR_SESSION_H

#include <pthread.h>
#include <sched.h>

#include "cli.h"
#include "nl.h"
#include "plan.h"

struct session {
	const struct cli *cli;
	const struct model *m;
	struct facts f;
	struct nlx nl;
	struct kstate k;
	struct state st;	/* what the record will be after the plan */
	struct plan_input in;
	const struct bridge **bridges;	/* those named, or all */
	size_t n_bridges;
	char **gone;	/* names of bridges that left the config */
	size_t n_gone;
	struct strmap texts;	/* bridge -> its firewall text, made once */
};

/* The kernel's state, read by a thread while the config is: with 1000 taps
 * each takes as long as the other. */
struct dump {
	pthread_t thread;
	bool running, apart;
	cpu_set_t cpus, others;	/* what we may run on; the thread's part */
	struct nlx nl;
	struct kstate k;
	int rc;
};
/* RC_OK or an exit code after a message; dump_end() in any case. */
int dump_begin(struct dump *d);
void dump_end(struct dump *d);

/* Takes over the dump, reads facts and record, chooses the bridges. Returns
 * RC_OK or an exit code after a message. */
int session_open(struct session *s, const struct cli *c,
		 const struct model *m, struct dump *d, bool down);
/* Dumps the kernel again, after these plans (by way of `before`; NULL: by
 * whatever may have changed it). RC_OK or an exit code. */
int session_dump(struct session *s, const struct plan *done);
void session_close(struct session *s);
/* Was no bridge named? */
bool session_all(const struct session *s);
/* Writes the digests of what OP_FIREWALL steps have loaded to the record. */
int session_save(struct session *s);

#endif
