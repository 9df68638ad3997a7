/* A bridge's own dnsmasq: what it should have read, is it there, and making
 * it so. Under OpenRC it runs below a supervise-daemon(8). */
#ifndef NETBR_DNSMASQ_H
#define NETBR_DNSMASQ_H

#include "op.h"

/* Digests of the files that dnsmasq of a bridge reads at its start and at a
 * SIGHUP. False if the first does not exist. */
bool dnsmasq_files(const char *root, const char *bridge, uint64_t *conf,
		   uint64_t *hosts);
/* Does it run (or its supervisor, which will start it again)? */
bool dnsmasq_runs(const char *root, const char *bridge);
/* Does it what an operation says. 0 or -errno; *why (caller frees) then says
 * what is known of the reason. */
int dnsmasq_do(const char *root, const char *bridge, enum dns_action action,
	       char **why);

#endif
