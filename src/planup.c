/* What `up` must do. */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "planpart.h"

/* ---- small parts ------------------------------------------------------ */

char *ifname_sysctl(int family, const char *ifname, const char *knob)
{
	return xasprintf("net/%s/conf/%s/%s", family == AF_INET ? "ipv4" :
			 "ipv6", ifname, knob);
}

/* Sets a sysctl unless it is so already; remembers the old value for
 * `down` if the thing it belongs to was there before us. */
void plan_sysctl(const struct plan_input *in, struct plan *p,
		 const char *bridge, const char *path, const char *value,
		 bool remember, bool may_be_missing)
{
	_cleanup_free_ char *have = in->sysctl(in->arg, path);
	struct op *op, *undo;

	if (have && streq(have, value)) {
		/* our doing, for this or another bridge: still needed */
		if (remember && state_has_sysctl(in->st, path))
			state_note_sysctl(in->st, path, have, value, bridge);
		return;
	}
	if (!have && !may_be_missing)
		return;
	op = plan_add(p, OP_SYSCTL, CLASS_SET, bridge, "", "set %s to %s%s%s",
		      path, value, have ? " (was " : "", have ? have : "");
	if (have) {
		char *s = xasprintf("%s)", op->sentence);

		free(op->sentence);
		op->sentence = s;
	}
	op_drift(op, path, value, have ? have : "absent");
	op->path = xstrdup(path);
	op->value = xstrdup(value);
	op->may_fail = may_be_missing;	/* a kernel without IPv6 */
	if (have) {
		undo = op_new(OP_SYSCTL, "");
		undo->path = xstrdup(path);
		undo->value = xstrdup(have);
		undo->may_fail = true;
		op_add_undo(op, undo);
	}
	if (remember && have)
		state_note_sysctl(in->st, path, have, value, bridge);
}

void plan_set_up(struct plan *p, const char *bridge, const char *link,
		 bool up, bool undo)
{
	/* a link goes down only to be removed */
	struct op *op = plan_add(p, OP_LINK_SET, up ? CLASS_SET :
				 CLASS_DELETE, bridge, link,
				 "set %s %s", link, up ? "up" : "down");

	op_drift(op, "up", up ? "up" : "down", up ? "down" : "up");
	op->set.has = LS_UP;
	op->set.up = up;
	if (undo) {
		struct op *u = op_new(OP_LINK_SET, link);

		u->set.has = LS_UP;
		u->set.up = !up;
		op_add_undo(op, u);
	}
}

const struct klink *plan_link(const struct plan_input *in,
			      const char *name)
{
	return kstate_link(in->k, name);
}

const char *plan_master(const struct plan_input *in,
			const struct klink *l)
{
	const struct klink *m = kstate_link_index(in->k, l->master);

	return m ? m->name : "";
}

uint32_t want_bridge_mtu(const struct plan_input *in, const struct bridge *b)
{
	const struct klink *up = b->uplink ? plan_link(in, b->uplink) : NULL;

	if (b->mtu)
		return b->mtu;
	return up && (bridge_takes_over(b) || bridge_has_veth(b)) ?
	       up->mtu : 0;
}

/* ---- refusals --------------------------------------------------------- */

/* Its bridge is ours and no longer in the config. */
static bool leaving(const struct plan_input *in, const struct klink *l)
{
	const struct klink *m = kstate_link_index(in->k, l->master);

	return m && klink_is_ours(m) && !model_bridge(in->m, m->name);
}

static void preflight_uplink(const struct plan_input *in, struct plan *p,
			     const struct bridge *b)
{
	const struct klink *u = plan_link(in, b->uplink);

	if (!u) {
		plan_refuse(p, "%s: its uplink %s does not exist", b->name,
			    b->uplink);
		return;
	}
	if (bridge_mode(b) == MODE_BRIDGED && u->wireless && b->no_port)
		plan_refuse(p, "%s is a Wi-Fi station: the kernel refuses it "
			    "as a bridge port (Operation not supported), and "
			    "the access point drops foreign MACs; use mode = "
			    "macnat, or wds where the access point speaks it",
			    u->name);
	else if (bridge_mode(b) == MODE_WDS && !b->wireless)
		plan_refuse(p, "%s is not Wi-Fi: 4-address mode (wds) is for "
			    "stations; use mode = bridged", b->uplink);
	else if (bridge_has_veth(b) && !streq(in->fw_backend, "nftables"))
		plan_refuse(p, "%s: %s can't be a bridge port, and only "
			    "nftables can translate around that: install nft, "
			    "or use mode = routed", b->name, b->uplink);
	else if (!u->ethernet || (u->flags & IFF_LOOPBACK))
		plan_refuse(p, "%s: its uplink %s is no Ethernet device",
			    b->name, b->uplink);
	else if (streq(u->kind, "bridge") && bridge_enslaves(b))
		plan_refuse(p, "%s: its uplink %s is itself a bridge",
			    b->name, b->uplink);
	else if (u->master && !streq(plan_master(in, u), b->name) &&
		 !leaving(in, u))
		plan_refuse(p, "%s: its uplink %s already belongs to %s",
			    b->name, b->uplink, plan_master(in, u));
	for (size_t i = 0; i < in->k->n_routes; i++)
		if (in->k->routes[i].multipath)
			plan_warn(p, "a multipath route is left as it is; "
				  "if it goes over %s, change it by hand",
				  b->uplink);
}

static void preflight_port(const struct plan_input *in, struct plan *p,
			   const struct bridge *b, const struct port *port)
{
	const struct klink *l = plan_link(in, port->name);
	uint32_t id;

	if (port->type == PORT_EXISTING) {
		if (!l)
			plan_refuse(p, "%s: its port %s does not exist",
				    b->name, port->name);
	} else if (l && (!streq(l->kind, "tun") || !l->tun.is_tap)) {
		plan_refuse(p, "%s exists, but is no tap (%s): it is "
			    "somebody else's; give the tap another name",
			    port->name, *l->kind ? l->kind : "a device");
	} else if (!in->force && plan_tap_anew(in, port, l) &&
		   in->tap_held(in->arg, l->name)) {
		plan_refuse(p, "%s must be made anew with %s, but a running "
			    "guest holds it: stop the guest first",
			    port->name, plan_tap_anew(in, port, l));
	}
	if (l && l->master && !streq(plan_master(in, l), b->name) &&
	    !klink_is_ours(l) && !leaving(in, l))
		plan_refuse(p, "%s already belongs to %s", port->name,
			    plan_master(in, l));
	if (port->owner && !in->user_id(in->arg, port->owner, false, &id))
		plan_refuse(p, "%s: there is no user '%s'", port->name,
			    port->owner);
	if (port->group && !in->user_id(in->arg, port->group, true, &id))
		plan_refuse(p, "%s: there is no group '%s'", port->name,
			    port->group);
}

/* What ebtables can't translate is said, guest by guest. */
static void preflight_macnat_port(const struct plan_input *in, struct plan *p,
				  const struct bridge *b)
{
	if (streq(in->fw_backend, "nftables"))
		return;
	if (!streq(in->fw_backend, "iptables")) {
		plan_refuse(p, "%s: mode macnat needs nftables, or ebtables for "
			    "what that can do; the firewall in use is %s",
			    b->name, in->fw_backend);
		return;
	}
	plan_warn(p, "%s: ebtables translates neither IPv6 nor the answers to "
		  "DHCP clients that want them by unicast: with nft both work",
		  b->name);
	for (size_t i = 0; i < in->m->n_guests; i++) {
		const struct guest *g = in->m->guests[i];

		if (g->bridge == b && !guest_ip(g, AF_INET))
			plan_warn(p, "guest '%s' has no ip: without nft the "
				  "LAN can't reach it", g->name);
	}
}

static void preflight(const struct plan_input *in, struct plan *p,
		      const struct bridge *b)
{
	const struct klink *l = plan_link(in, b->name);

	if (l && !streq(l->kind, "bridge"))
		plan_refuse(p, "%s exists, but is no bridge (%s)", b->name,
			    *l->kind ? l->kind : "a device");
	else if (l && !klink_is_ours(l))
		plan_refuse(p, "%s exists, but netbr did not make it: remove "
			    "it, or hand it over with 'ip link set %s alias "
			    "netbr'", b->name, b->name);
	if (b->uplink && bridge_mode(b) != MODE_ROUTED)
		preflight_uplink(in, p, b);
	if (bridge_has_veth(b))
		plan_veth_refusals(in, p, b);
	else if (bridge_mode(b) == MODE_MACNAT)
		preflight_macnat_port(in, p, b);
	for (size_t i = 0; i < in->m->n_guests; i++)
		if (in->m->guests[i]->bridge == b &&
		    in->m->guests[i]->rate_out &&
		    !streq(in->fw_backend, "nftables"))
			plan_refuse(p, "guest '%s': rate_out needs the nftables "
				    "firewall; the one in use is %s",
				    in->m->guests[i]->name, in->fw_backend);
	for (size_t i = 0; i < b->ports.n; i++)
		preflight_port(in, p, b, model_port(in->m,
						    b->ports.v[i].text));
}

/* ---- the bridge ------------------------------------------------------- */

static struct kbridge wanted_options(const struct bridge *b)
{
	return (struct kbridge){
		.forward_delay = b->forward_delay_cs,
		.hello_time = b->hello_time_cs,
		.max_age = b->max_age_cs, .ageing_time = b->ageing_time_cs,
		.priority = b->priority, .stp = b->stp, .snooping = true,
	};
}

bool plan_wanted_mac(const struct plan_input *in, const struct bridge *b,
		     struct mac *out)
{
	const struct klink *u = b->uplink ? plan_link(in, b->uplink) : NULL;

	if (b->mac_policy == MACP_UPLINK && u) {
		*out = u->mac;
		return true;
	}
	return bridge_mac(b, in->f, out);
}

/* With STP off and no snooping at first: ports join at once, and each port
 * that comes up costs the same. Both are set when the ports are there. */
static void plan_bridge_create(const struct plan_input *in, struct plan *p,
			       const struct bridge *b)
{
	struct op *op, *undo = op_new(OP_LINK_DELETE, b->name);
	char mac[MAC_TEXT] = "by chance";
	uint32_t mtu = want_bridge_mtu(in, b);
	struct mac m;

	if (plan_wanted_mac(in, b, &m))
		mac_format(&m, mac);
	op = plan_add(p, OP_BRIDGE_CREATE, CLASS_CREATE, b->name, b->name,
		      "create bridge %s (MAC %s)", b->name, mac);
	op_drift(op, "exists", "bridge", "absent");
	op->set.has = LS_BRIDGE_BITS;
	op->set.br = wanted_options(b);
	op->set.br.stp = op->set.br.snooping = false;
	if (plan_wanted_mac(in, b, &m)) {
		op->set.has |= LS_MAC;
		op->set.mac = m;
	}
	op_add_name(undo, b->name);
	undo->may_fail = true;
	op_add_undo(op, undo);
	saved_add_note(state_add_bridge(in->st, b->name), 'n', b->name);

	/* an alias is ignored at creation, an MTU does not stick */
	op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, b->name,
		      "mark %s as netbr's and set its MTU to %u", b->name,
		      mtu ? mtu : 1500);
	op->set.has = LS_ALIAS | LS_MTU;
	op->set.mtu = mtu ? mtu : 1500;
	snprintf(op->set.alias, sizeof(op->set.alias), "netbr %s", b->name);
}

/* One attribute of a live bridge: an operation of its own, in place. */
static struct op *plan_option(struct plan *p, const struct bridge *b,
			      const struct klink *l, unsigned int bit,
			      const char *name, const char *want,
			      const char *have)
{
	struct op *op, *undo;

	op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, b->name,
		      "set %s %s to %s (was %s)", b->name, name, want, have);
	op_drift(op, name, want, have);
	op->set.has = bit;
	op->set.br = wanted_options(b);
	undo = op_new(OP_LINK_SET, b->name);
	undo->set.has = bit;
	undo->set.br = l->br;
	undo->set.mac = l->mac;
	undo->set.mtu = l->mtu;
	op_add_undo(op, undo);
	return op;
}

/* The kernel keeps jiffies: a value may come back one part in 10000 off. */
static bool same_time(uint32_t a, uint32_t b)
{
	uint32_t d = a > b ? a - b : b - a;

	return d <= a / 10000 + (a % 2 || a > 1000 ? 1 : 0);
}

static void plan_timers(struct plan *p, const struct bridge *b,
			const struct klink *l)
{
	const struct kbridge w = wanted_options(b);
	const struct {
		unsigned int bit;
		const char *name;
		uint32_t want, have;
	} t[] = {
		{ LS_FORWARD_DELAY, "forward_delay", w.forward_delay,
		  l->br.forward_delay },
		{ LS_HELLO_TIME, "hello_time", w.hello_time,
		  l->br.hello_time },
		{ LS_MAX_AGE, "max_age", w.max_age, l->br.max_age },
		{ LS_AGEING_TIME, "ageing_time", w.ageing_time,
		  l->br.ageing_time },
	};
	char want[24], have[24];

	for (size_t i = 0; i < N_ELEMENTS(t); i++)
		if (!same_time(t[i].want, t[i].have))
			plan_option(p, b, l, t[i].bit, t[i].name,
				    time_cs_format(t[i].want, want,
						   sizeof(want)),
				    time_cs_format(t[i].have, have,
						   sizeof(have)));
	if (w.priority != l->br.priority) {
		snprintf(want, sizeof(want), "%u", w.priority);
		snprintf(have, sizeof(have), "%u", l->br.priority);
		plan_option(p, b, l, LS_PRIORITY, "priority", want, have);
	}
}

static void plan_bridge_set(const struct plan_input *in, struct plan *p,
			    const struct bridge *b, const struct klink *l)
{
	uint32_t mtu = want_bridge_mtu(in, b);
	char want[64], have[64];
	struct mac m;
	struct op *op;

	snprintf(want, sizeof(want), "netbr %s", b->name);
	if (!streq(l->alias, want)) {
		saved_add_note(state_add_bridge(in->st, b->name), 'n', b->name);
		op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, b->name,
			      "mark %s as netbr's", b->name);
		op->set.has = LS_ALIAS;
		str_put(op->set.alias, sizeof(op->set.alias), want);
		op_drift(op, "alias", want, l->alias);
	}
	if (plan_wanted_mac(in, b, &m) && !mac_equal(&m, &l->mac))
		plan_option(p, b, l, LS_MAC, "mac", mac_format(&m, want),
			    mac_format(&l->mac, have))->set.mac = m;
	if (mtu && mtu != l->mtu) {
		snprintf(want, sizeof(want), "%u", mtu);
		snprintf(have, sizeof(have), "%u", l->mtu);
		plan_option(p, b, l, LS_MTU, "mtu", want, have)->set.mtu = mtu;
	}
	/* STP limits the timers: off before they change, on after */
	if (l->br.stp && !b->stp)
		plan_option(p, b, l, LS_STP, "stp", "off", "on");
	plan_timers(p, b, l);
}

/* After the ports are in: a port that joins with STP off forwards at once,
 * and stays forwarding when STP is switched on. */
static void plan_bridge_late(const struct plan_input *in, struct plan *p,
			     const struct bridge *b)
{
	const struct klink *l = plan_link(in, b->name);
	struct op *op;

	if (l && l->br.stp == b->stp && l->br.snooping)
		return;
	if (l) {
		if (b->stp && !l->br.stp)
			plan_option(p, b, l, LS_STP, "stp", "on", "off");
		if (!l->br.snooping)
			plan_option(p, b, l, LS_SNOOPING, "mcast_snooping",
				    "on", "off");
		return;
	}
	op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, b->name,
		      "switch on %s's multicast snooping%s", b->name,
		      b->stp ? " and STP" : "");
	op->set.has = LS_SNOOPING | (b->stp ? LS_STP : 0);
	op->set.br = wanted_options(b);
}

/* ---- forwarding ------------------------------------------------------- */

/* With forwarding on, the kernel stops listening to router advertisements
 * unless accept_ra is 2: said before, so that the host keeps its route. */
static void plan_accept_ra(const struct plan_input *in, struct plan *p,
			   const struct bridge *b)
{
	for (size_t i = 0; i < in->k->n_routes; i++) {
		const struct kroute *r = &in->k->routes[i];
		const struct klink *l = kstate_link_index(in->k, r->oif);
		_cleanup_free_ char *path = NULL, *have = NULL;

		if (r->family != AF_INET6 || r->protocol != RTPROT_RA ||
		    r->dst.plen || !l)
			continue;
		path = ifname_sysctl(AF_INET6, l->name, "accept_ra");
		have = in->sysctl(in->arg, path);
		if (have && (streq(have, "1") ||
			     state_has_sysctl(in->st, path)))
			plan_sysctl(in, p, b->name, path, "2", true, false);
	}
	if (b->uplink) {
		_cleanup_free_ char *path = ifname_sysctl(AF_INET6, b->uplink,
							  "accept_ra");
		_cleanup_free_ char *have = in->sysctl(in->arg, path);

		if (have && (streq(have, "1") ||
			     state_has_sysctl(in->st, path)))
			plan_sysctl(in, p, b->name, path, "2", true, false);
	}
}

static void plan_forwarding(const struct plan_input *in, struct plan *p,
			    const struct bridge *b)
{
	if (bridge_carries(b, AF_INET))
		plan_sysctl(in, p, b->name, "net/ipv4/ip_forward", "1", true,
			    false);
	if (bridge_carries(b, AF_INET6)) {
		plan_accept_ra(in, p, b);
		plan_sysctl(in, p, b->name, "net/ipv6/conf/all/forwarding",
			    "1", true, false);
	}
}

/* A bridge of guests listens to no router; and its own v6 addresses need
 * not wait for duplicates: without a guest it has no carrier to ask on. */
static void plan_bridge_sysctls(const struct plan_input *in, struct plan *p,
				const struct bridge *b)
{
	static const char *const knobs[] = { "accept_ra", "autoconf",
					     "accept_dad" };
	bool missing = !plan_link(in, b->name);

	for (size_t i = 0; i < N_ELEMENTS(knobs); i++) {
		_cleanup_free_ char *path = ifname_sysctl(AF_INET6, b->name,
							  knobs[i]);
		if (!bridge_takes_over(b))
			plan_sysctl(in, p, b->name, path, "0", false,
				    missing);
	}
}

/* ---- the whole -------------------------------------------------------- */

/* The config names another uplink, or none: the old one gets back what it
 * had. */
static void plan_old_uplink(const struct plan_input *in, struct plan *p,
			    const struct bridge *b,
			    const struct saved_bridge *before)
{
	const struct saved_bridge *sb = state_bridge(in->st, b->name);

	if (sb && *sb->uplink && !(bridge_takes_over(b) &&
				   streq(sb->uplink, b->uplink)))
		plan_release_uplink(in, p, b->name, true, before);
}

/* Devices that were ports of ours and no longer are. */
static void plan_old_ports(const struct plan_input *in, struct plan *p,
			   const struct bridge *b)
{
	struct saved_bridge *sb = state_bridge(in->st, b->name);

	for (size_t i = sb ? sb->n_ports : 0; i-- > 0;) {
		if (list_has(&b->ports, sb->ports[i].name))
			continue;
		plan_release_port(in, p, b->name, &sb->ports[i]);
		sb->ports[i] = sb->ports[--sb->n_ports];
	}
}

/* The LAN knows guests by the uplink's MAC: another one is told. */
static void plan_announce_guests(const struct plan_input *in, struct plan *p,
				 const struct bridge *b,
				 const struct saved_bridge *before)
{
	const struct klink *u = plan_link(in, b->uplink);
	char mac[MAC_TEXT];

	if (!u)
		return;
	mac_format(&u->mac, mac);
	saved_add_note(state_add_bridge(in->st, b->name), 'u', mac);
	if (saved_has_kind(before, 'u') && !saved_has_note(before, 'u', mac))
		plan_add(p, OP_ANNOUNCE, CLASS_SET, b->name, b->name, "tell the "
			 "LAN of the new MAC address of %s and its guests",
			 b->name)->value = xstrdup(b->uplink);
}

static void plan_one(const struct plan_input *in, struct plan *p,
		     const struct bridge *b, const struct saved_bridge *before)
{
	const struct klink *l = plan_link(in, b->name);
	const struct klink *up = bridge_takes_over(b) ?
				 plan_link(in, b->uplink) : NULL;
	bool dad = plan_moves_ipv6(in, up);

	plan_taps(in, p, b);
	if (l)
		plan_bridge_set(in, p, b, l);
	else
		plan_bridge_create(in, p, b);
	plan_bridge_sysctls(in, p, b);
	if (dad)
		plan_knob(p, b, b->name, "accept_dad", "0");
	plan_old_uplink(in, p, b, before);
	if (bridge_has_veth(b))
		plan_veth(in, p, b, before);
	else
		plan_allmulti_off(in, p, b->name, before);
	if (up)
		plan_save_uplink(in, b, up);
	plan_wds(in, p, b, up, before);
	plan_promote(in, p, b, before);
	plan_addresses(in, p, b, up, AF_INET, 0);
	if (!up)
		plan_addresses(in, p, b, up, AF_INET6, 0);
	plan_host_addresses(in, p, b);
	plan_old_addresses(in, p, b, before);
	/* what the rules take from the uplink must arrive */
	if (bridge_has_veth(b) && (!l || !(l->flags & IFF_UP))) {
		plan_set_up(p, b->name, b->name, true, l);
		plan_settle(p, b->name, b->name);
	}
	plan_firewall(in, p, b, b->name);
	plan_firewalld(in, p, b, b->name,
		       saved_has_note(before, 'z', "trusted"));
	if (up && (bridge_has_veth(b) || !streq(plan_master(in, up), b->name)))
		plan_client_stop(in, p, b);
	if (up)
		plan_uplink(in, p, b, up);
	else if (!bridge_has_veth(b) && (!l || !(l->flags & IFF_UP)))
		plan_set_up(p, b->name, b->name, true, l);
	if (up)
		plan_port_ipv6(in, p, b, b->uplink, up, true);
	if (dad)
		plan_knob(p, b, b->name, "accept_dad", "1");
	plan_foreign_ports(in, p, b);
	plan_old_ports(in, p, b);
	plan_ports(in, p, b);
	plan_bridge_late(in, p, b);
	plan_routes(in, p, b, up);
	plan_old_routes(in, p, b, before);
	plan_forwarding(in, p, b);
	plan_proxies(in, p, b);
	plan_old_proxies(in, p, b->name, before,
			 state_bridge(in->st, b->name));
	if (b->mode == MODE_AUTO)
		saved_add_note(state_add_bridge(in->st, b->name), 'o',
			       mode_names[bridge_mode(b)]);
	if (b->probe)
		saved_add_note(state_add_bridge(in->st, b->name), 'p',
			       mode_names[bridge_mode(b)]);
	plan_dnsmasq(in, p, b);
	if (bridge_mode(b) == MODE_MACNAT)
		plan_announce_guests(in, p, b, before);
	plan_remove_taps(in, p, b->name, true);
}

/* Bridges of ours that the config no longer has; and what somebody has
 * deleted by hand, whose uplink and sysctls are still to be given back. */
void plan_gone(const struct plan_input *in, struct plan *p)
{
	for (size_t i = in->st->n_bridges; i-- > 0;) {
		char name[IFNAMSIZ];

		str_put(name, sizeof(name), in->st->bridges[i].name);
		if (!plan_link(in, name) && !model_bridge(in->m, name))
			plan_remove_bridge(in, p, name, true);
	}
	for (size_t i = 0; i < in->k->n_links; i++) {
		const struct klink *l = &in->k->links[i];

		if (streq(l->kind, "bridge") && klink_is_ours(l) &&
		    !model_bridge(in->m, l->name))
			plan_remove_bridge(in, p, l->name, true);
	}
}

void plan_up(const struct plan_input *in, struct plan *p)
{
	struct state before;

	for (size_t i = 0; i < in->n_bridges; i++)
		preflight(in, p, in->bridges[i]);
	if (p->n_refusals)
		return;
	state_copy(&before, in->st);
	for (size_t i = 0; i < in->n_bridges; i++) {
		struct saved_bridge *sb = state_add_bridge(
			in->st, in->bridges[i]->name);

		saved_clear_notes(sb);
		state_forget_users(in->st, in->bridges[i]->name);
		plan_one(in, p, in->bridges[i],
			 state_bridge(&before, in->bridges[i]->name));
	}
	plan_restore_sysctls(in, p);
	state_free(&before);
}
