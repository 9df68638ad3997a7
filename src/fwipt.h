/* Our chains in the tables of iptables, ip6tables and ebtables. */
#ifndef NETBR_FWIPT_H
#define NETBR_FWIPT_H

#include <stdbool.h>

/* A digest of what is loaded (caller frees); NULL if nothing is. */
char *ipt_digest(const char *bridge);
/* Loads a text with its FW_IP6_MARK and FW_EB_MARK parts, "" removes. 0 or
 * -errno; *why (caller frees) gets the program's words. */
int ipt_load(const char *bridge, const char *text, char **why);
/* The same of the few rules for iptables alone that come with nftables'. */
int ipt_load_helpers(const char *bridge, const char *text, char **why);
/* Are such rules there, or is iptables-legacy (which only its own program can
 * see) in use? */
bool ipt_may_have_helpers(const char *bridge);

#endif
