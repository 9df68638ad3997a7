/* One run of netbr-apply: the config, the machine, the record, the plan. */
#ifndef NETBR_SESSION_H
#define NETBR_SESSION_H

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

/* Opens netlink, reads facts and record, chooses the bridges. Returns RC_OK
 * or an exit code after a message. */
int session_open(struct session *s, const struct cli *c,
		 const struct model *m, bool down);
/* Dumps the kernel (again). RC_OK or an exit code. */
int session_dump(struct session *s);
void session_close(struct session *s);
/* Was no bridge named? */
bool session_all(const struct session *s);
/* Writes the record; after OP_FIREWALL steps with the new digests. */
int session_save(struct session *s);

#endif
