/* What the files of `up`'s plan share with each other, and nobody else. Each
 * adds the operations that its name says to the plan. */
#ifndef NETBR_PLANPART_H
#define NETBR_PLANPART_H

#include "plan.h"

/* The MAC a bridge should have; false if it is the uplink's and that is
 * not there. */
bool plan_wanted_mac(const struct plan_input *in, const struct bridge *b,
		     struct mac *out);
/* Why a tap of ours can't be changed in place and must be made anew; NULL if
 * it need not be. */
const char *plan_tap_anew(const struct plan_input *in,
			  const struct port *port, const struct klink *l);
/* A link of the dump by name; NULL if there is none. */
const struct klink *plan_link(const struct plan_input *in,
			      const char *name);
/* The name of the bridge a link is a port of, "" if of none. */
const char *plan_master(const struct plan_input *in,
			const struct klink *l);
/* Is it the kernel's own route to the subnet of an address of the link? */
bool plan_connected(const struct kroute *r, const struct klink *l);
/* Does the uplink bring IPv6 addresses along? */
struct op *plan_settle(struct plan *p, const char *bridge, const char *link);
bool plan_moves_ipv6(const struct plan_input *in, const struct klink *up);
/* Records how the uplink was, the first time it is seen. */
void plan_save_uplink(const struct plan_input *in, const struct bridge *b,
		      const struct klink *up);
/* Makes missing taps; owner and group of existing ones. */
void plan_taps(const struct plan_input *in, struct plan *p,
	       const struct bridge *b);
/* Ports join, with their MAC, MTU and isolation. */
void plan_ports(const struct plan_input *in, struct plan *p,
		const struct bridge *b);
/* foreign_ports = remove. */
void plan_foreign_ports(const struct plan_input *in, struct plan *p,
			const struct bridge *b);
/* Switches IPv6 off on a port; l NULL: this plan makes it. */
void plan_port_ipv6(const struct plan_input *in, struct plan *p,
		    const struct bridge *b, const char *name,
		    const struct klink *l, bool remember);
/* Sets a v6 sysctl of a link that this plan makes. */
struct op *plan_knob(struct plan *p, const struct bridge *b,
		     const char *ifname, const char *knob,
		     const char *value);
/* host = uplink: the uplink's addresses, a second time on the bridge and
 * without their subnets, so that guests reach the host. */
void plan_host_addresses(const struct plan_input *in, struct plan *p,
			 const struct bridge *b);
/* Configured addresses of a family, and those of the uplink (up may be
 * NULL). */
void plan_addresses(const struct plan_input *in, struct plan *p,
		    const struct bridge *b, const struct klink *up,
		    int family, unsigned int batch);
/* Those of ours that left the config: what must hold before, and they. */
void plan_promote(const struct plan_input *in, struct plan *p,
		  const struct bridge *b, const struct saved_bridge *before);
void plan_old_addresses(const struct plan_input *in, struct plan *p,
			const struct bridge *b,
			const struct saved_bridge *before);
/* The uplink joins and its routes and addresses change over. */
void plan_uplink(const struct plan_input *in, struct plan *p,
		 const struct bridge *b, const struct klink *up);
/* Configured routes; those of ours that left the config. */
void plan_routes(const struct plan_input *in, struct plan *p,
		 const struct bridge *b, const struct klink *up);
void plan_old_routes(const struct plan_input *in, struct plan *p,
		     const struct bridge *b,
		     const struct saved_bridge *before);

/* macnat's veths with what they need, where the bridge has them; what stands
 * in their way. */
void plan_veth(const struct plan_input *in, struct plan *p,
	       const struct bridge *b, const struct saved_bridge *before);
void plan_veth_refusals(const struct plan_input *in, struct plan *p,
			const struct bridge *b);

/* Puts a station into 4-address mode and sees whether that works; out of it,
 * if it was us. */
void plan_wds(const struct plan_input *in, struct plan *p,
	      const struct bridge *b, const struct klink *up,
	      const struct saved_bridge *before);
void plan_wds_off(struct plan *p, const char *bridge, const struct klink *up,
		  const struct saved_bridge *before);

/* proxyarp: routes to the guests, and the answers for them on the LAN; those
 * of `before` that are not in `now` (NULL: none is wanted) go. */
void plan_proxies(const struct plan_input *in, struct plan *p,
		  const struct bridge *b);
void plan_old_proxies(const struct plan_input *in, struct plan *p,
		      const char *bridge, const struct saved_bridge *before,
		      const struct saved_bridge *now);

/* Starts, restarts, or tells the bridge's own dnsmasq; stops it. */
void plan_dnsmasq(const struct plan_input *in, struct plan *p,
		  const struct bridge *b);
void plan_dns_stop(const struct plan_input *in, struct plan *p,
		   const char *bridge);
/* Ends the DHCP client of an uplink that is about to join; starts it again
 * when the uplink is given back. */
void plan_client_stop(const struct plan_input *in, struct plan *p,
		      const struct bridge *b);
void plan_client_start(const struct plan_input *in, struct plan *p,
		       const char *bridge, const char *uplink);
/* Gives a deletion (names are filled in) what undoes it: each bridge and tap
 * as the dump had it, the bridge's addresses and routes included. */
void plan_undo_delete(const struct plan_input *in, struct op *op);

#endif
