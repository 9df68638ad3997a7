/* From what is wanted and what is, to what must be done. Pure: the kernel
 * was dumped before, sysctls and firewall are asked through callbacks. */
#ifndef NETBR_PLAN_H
#define NETBR_PLAN_H

#include "lease.h"
#include "model.h"
#include "op.h"
#include "state.h"
#include "view.h"

struct plan_input {
	const struct model *m;
	const struct facts *f;
	const struct kstate *k;
	struct state *st;	/* becomes the state after the plan */
	bool force;
	const struct bridge **bridges;	/* those chosen */
	size_t n_bridges;
	const char *const *gone;	/* names for plan_down that the config
					 * does not have */
	size_t n_gone;
	const char *fw_backend;	/* "nftables", "iptables" or "none" */
	/* The value of a sysctl (caller frees), NULL if it does not exist. */
	char *(*sysctl)(void *arg, const char *path);
	/* What of our firewall for a bridge is loaded: a digest (caller
	 * frees), NULL if nothing. */
	char *(*fw_digest)(void *arg, const char *backend,
			   const char *bridge);
	/* The text to load for a bridge (caller frees), NULL after an error
	 * message; user and group names to ids. */
	/* What a bridge's recorded rules were; NULL if that is not known. */
	const char *(*fw_saved)(void *arg, struct saved_bridge *b);
	char *(*fw_text)(void *arg, const struct bridge *b);
	bool (*user_id)(void *arg, const char *name, bool group,
			uint32_t *id);
	/* Does a process hold this tap? */
	bool (*tap_held)(void *arg, const char *name);
	/* What a bridge's dnsmasq should have read (false: no such file),
	 * and whether it runs. Both NULL: nobody is asked. */
	bool (*dns_files)(void *arg, const char *bridge, uint64_t *conf,
			  uint64_t *hosts);
	bool (*dns_runs)(void *arg, const char *bridge);
	/* The leases of a bridge's dnsmasq (caller frees); may be NULL. */
	void (*leases)(void *arg, const char *bridge, struct leases *out);
	/* Which kernel option macnat lacks for an uplink that can't be a port
	 * (caller frees); NULL if none. */
	char *(*missing)(void *arg, const struct bridge *b);
	bool no_screens;	/* the kernel has no programs on taps */
	bool has_tun;		/* can a tap be made here? */
	/* The DHCP client of an interface, as dhcpc_find(); may be NULL. */
	int (*dhcp_client)(void *arg, const char *ifname, char **argv);
	void *arg;
};

/* Plans; in->st is changed to what it will be afterwards. Check refusals
 * before running anything. */
void plan_up(const struct plan_input *in, struct plan *p);
/* Removes bridges of ours that the config no longer has. Run before plan_up,
 * with a fresh dump in between: what they held is free then. */
void plan_gone(const struct plan_input *in, struct plan *p);
void plan_down(const struct plan_input *in, struct plan *p);

/* The MTU a bridge should have, 0 for the kernel's choice. */
uint32_t want_bridge_mtu(const struct plan_input *in, const struct bridge *b);

/* Shared by up and down. */
void plan_sysctl(const struct plan_input *in, struct plan *p,
		 const char *bridge, const char *path, const char *value,
		 bool remember, bool may_be_missing);
void plan_set_up(struct plan *p, const char *bridge, const char *link,
		 bool up, bool undo);
/* keep_listed: taps that the config has on another bridge only move. */
void plan_remove_bridge(const struct plan_input *in, struct plan *p,
			const char *name, bool keep_listed);
void plan_remove_taps(const struct plan_input *in, struct plan *p,
		      const char *bridge, bool only_unlisted);
/* What link `from` knows of its neighbours, `to` shall know too, so that no
 * packet waits for an answer that arrives on the other one. */
void plan_neighbours(const struct plan_input *in, struct plan *p,
		     const char *bridge, const struct klink *from,
		     const char *to);
/* The uplink leaves the bridge and gets back its addresses and routes; if
 * the bridge stays, it gives them up. before: the record with its notes. */
void plan_release_uplink(const struct plan_input *in, struct plan *p,
			 const char *bridge, bool bridge_stays,
			 const struct saved_bridge *before);
void plan_release_port(const struct plan_input *in, struct plan *p,
		       const char *bridge, const struct saved_port *sp);
/* The uplink stops receiving all multicast, if that was our doing. */
void plan_allmulti_off(const struct plan_input *in, struct plan *p,
		       const char *bridge, const struct saved_bridge *sb);
/* Sysctls that nobody needs any more get their old values back. */
void plan_restore_sysctls(const struct plan_input *in, struct plan *p);
void plan_firewall(const struct plan_input *in, struct plan *p,
		   const struct bridge *b, const char *name);
/* Puts b into firewalld's zone if it coexists; if not (or b is NULL) and it
 * was us who put it there, takes it out. */
void plan_firewalld(const struct plan_input *in, struct plan *p,
		    const struct bridge *b, const char *name, bool ours);
/* /proc/sys path (below it) of an interface's knob; caller frees. */
char *ifname_sysctl(int family, const char *ifname, const char *knob);

#endif
