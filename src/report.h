/* Plans and status for people and, as JSON, for programs. */
#ifndef NETBR_REPORT_H
#define NETBR_REPORT_H

#include "session.h"

/* Prints the operations. */
/* Says on standard error what a bridge's `auto` became, and which route a
 * routed bridge without NAT needs on the LAN. Not with --quiet. */
void report_hints(const struct session *s);
void report_plan(const struct session *s, const struct plan *p, bool json);
/* Prints bridges, ports, guests and, from a plan that `up` would run, what
 * is not as it should be. */
void report_status(const struct session *s, const struct plan *drift,
		   bool json);

/* Prints reservations and leases. Is one in another's way? */
bool report_leases(const struct session *s, bool json);

#endif
