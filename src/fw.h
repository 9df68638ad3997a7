/* Our firewall tables and chains: is what we loaded still there, load it,
 * remove it. Nothing of anybody else's is read for its meaning or touched. */
#ifndef NETBR_FW_H
#define NETBR_FW_H

#include "util.h"
#include "view.h"

/* What separates the texts of the iptables backend. */
#define FW_IP6_MARK "# -- ip6tables --\n"
#define FW_EB_MARK "# -- ebtables --\n"
/* And behind it, of the nftables backend, the part that only iptables'
 * CHECKSUM target can do: nftables has no statement that completes one. */
#define FW_CSUM_MARK "# -- iptables mangle --\n"

/* The backend of a config on this machine: "nftables", "iptables", "none".*/
const char *fw_backend(const struct model *m);

/* A digest of what is loaded for a bridge; NULL if nothing is. */
char *fw_digest(const char *backend, const char *bridge);

/* Loads a text ("" removes everything of the bridge) in one transaction.
 * Returns 0 or -errno; *why (caller frees) gets the helper's words. */
int fw_load(const char *backend, const char *bridge, const char *text,
	    char **why);

/* Base chains of others on the forward hook that drop by policy and have no
 * rule that names the bridge: "FAMILY TABLE CHAIN" each. */
void fw_dropping_chains(const char *bridge, struct list *out);
/* Is there a rule or set element with this interface name in a table (of any
 * family; chain NULL: in any)? */
bool fw_table_names(const char *chain, const char *table, const char *ifname);

/* Changes a few elements of a bridge's sets (what fw_delta() says) in one
 * transaction, without the rest of the rules. 0 or -errno. */
int fw_change(const char *bridge, const char *commands);

/* Lets go of what the functions here keep. */
void fw_end(void);

/* Renders what to load. NULL after an error message. */
char *fw_text(const struct model *m, const struct facts *f,
	      const char *backend, const struct bridge *b, const char *root);

#endif
