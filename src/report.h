/* Plans and status for people and, as JSON, for programs. */
#ifndef NETBR_REPORT_H
#define NETBR_REPORT_H

#include "session.h"

/* Prints the operations. */
void report_plan(const struct session *s, const struct plan *p, bool json);
/* Prints bridges, ports, guests and, from a plan that `up` would run, what
 * is not as it should be. */
void report_status(const struct session *s, const struct plan *drift,
		   bool json);

/* Prints reservations and leases. Is one in another's way? */
bool report_leases(const struct session *s, bool json);

#endif
