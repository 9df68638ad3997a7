/* What `up` must do. */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "plan.h"

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
	struct op *op = plan_add(p, OP_LINK_SET, up ? CLASS_SET :
				 CLASS_INTERRUPTS, bridge, link,
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

static const struct klink *link_of(const struct plan_input *in,
				   const char *name)
{
	return kstate_link(in->k, name);
}

static const char *master_name(const struct plan_input *in,
			       const struct klink *l)
{
	const struct klink *m = kstate_link_index(in->k, l->master);

	return m ? m->name : "";
}

uint32_t want_bridge_mtu(const struct plan_input *in, const struct bridge *b)
{
	const struct klink *up = b->uplink ? link_of(in, b->uplink) : NULL;

	if (b->mtu)
		return b->mtu;
	return bridge_mode(b) == MODE_BRIDGED && up ? up->mtu : 0;
}

static void wanted_rights(const struct plan_input *in,
			  const struct port *port, uint32_t *owner,
			  uint32_t *group)
{
	*owner = *group = KFOREVER;
	if (port->owner)
		in->user_id(in->arg, port->owner, false, owner);
	if (port->group)
		in->user_id(in->arg, port->group, true, group);
}

/* Must a tap of ours be made anew? The kernel can neither change its number
 * of queues nor take its owner or group away. NULL, or the reason. */
static const char *tap_anew(const struct plan_input *in,
			    const struct port *port, const struct klink *l)
{
	uint32_t owner, group;

	if (!l || !klink_is_ours(l) || port->type != PORT_TAP)
		return NULL;
	wanted_rights(in, port, &owner, &group);
	if (l->tun.multi_queue != (port->queues > 1))
		return "another number of queues";
	if (owner == KFOREVER && l->tun.owner != KFOREVER)
		return "no owner";
	if (group == KFOREVER && l->tun.group != KFOREVER)
		return "no group";
	return NULL;
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
	const struct klink *u = link_of(in, b->uplink);

	if (!u) {
		plan_refuse(p, "%s: its uplink %s does not exist", b->name,
			    b->uplink);
		return;
	}
	if (u->wireless)
		plan_refuse(p, "%s is a Wi-Fi station: the kernel refuses it "
			    "as a bridge port, and an access point drops "
			    "frames of other MAC addresses; use mode = "
			    "routed", u->name);
	else if (!u->ethernet || (u->flags & IFF_LOOPBACK))
		plan_refuse(p, "%s: its uplink %s is no Ethernet device",
			    b->name, b->uplink);
	else if (streq(u->kind, "bridge"))
		plan_refuse(p, "%s: its uplink %s is itself a bridge",
			    b->name, b->uplink);
	else if (u->master && !streq(master_name(in, u), b->name) &&
		 !leaving(in, u))
		plan_refuse(p, "%s: its uplink %s already belongs to %s",
			    b->name, b->uplink, master_name(in, u));
	for (size_t i = 0; i < in->k->n_routes; i++)
		if (in->k->routes[i].multipath)
			plan_warn(p, "a multipath route is left as it is; "
				  "if it goes over %s, change it by hand",
				  b->uplink);
}

static void preflight_port(const struct plan_input *in, struct plan *p,
			   const struct bridge *b, const struct port *port)
{
	const struct klink *l = link_of(in, port->name);
	uint32_t id;

	if (port->type == PORT_EXISTING) {
		if (!l)
			plan_refuse(p, "%s: its port %s does not exist",
				    b->name, port->name);
	} else if (l && (!streq(l->kind, "tun") || !l->tun.is_tap)) {
		plan_refuse(p, "%s exists, but is no tap (%s): it is "
			    "somebody else's; give the tap another name",
			    port->name, *l->kind ? l->kind : "a device");
	} else if (!in->force && tap_anew(in, port, l) &&
		   in->tap_held(in->arg, l->name)) {
		plan_refuse(p, "%s must be made anew with %s, but a running "
			    "guest holds it: stop the guest first",
			    port->name, tap_anew(in, port, l));
	}
	if (l && l->master && !streq(master_name(in, l), b->name) &&
	    !klink_is_ours(l) && !leaving(in, l))
		plan_refuse(p, "%s already belongs to %s", port->name,
			    master_name(in, l));
	if (port->owner && !in->user_id(in->arg, port->owner, false, &id))
		plan_refuse(p, "%s: there is no user '%s'", port->name,
			    port->owner);
	if (port->group && !in->user_id(in->arg, port->group, true, &id))
		plan_refuse(p, "%s: there is no group '%s'", port->name,
			    port->group);
}

static void preflight(const struct plan_input *in, struct plan *p,
		      const struct bridge *b)
{
	const struct klink *l = link_of(in, b->name);

	if (l && !streq(l->kind, "bridge"))
		plan_refuse(p, "%s exists, but is no bridge (%s)", b->name,
			    *l->kind ? l->kind : "a device");
	else if (l && !klink_is_ours(l))
		plan_refuse(p, "%s exists, but netbr did not make it: remove "
			    "it, or hand it over with 'ip link set %s alias "
			    "netbr'", b->name, b->name);
	if (b->uplink && bridge_mode(b) == MODE_BRIDGED)
		preflight_uplink(in, p, b);
	for (size_t i = 0; i < b->ports.n; i++)
		preflight_port(in, p, b, model_port(in->m,
						    b->ports.v[i].text));
}

/* ---- taps ------------------------------------------------------------- */

static void plan_tap_create(const struct plan_input *in, struct plan *p,
			    const struct bridge *b, const struct port *port)
{
	struct op *op = plan_add(p, OP_TAP_CREATE, CLASS_CREATE, b->name,
				 port->name, "create tap %s%s%s%s%s",
				 port->name, port->owner ? " owner " : "",
				 port->owner ? port->owner : "",
				 port->group ? " group " : "",
				 port->group ? port->group : "");
	struct op *undo = op_new(OP_LINK_DELETE, port->name);

	op_drift(op, "exists", "tap", "absent");
	op->queues = port->queues;
	op->tun.vnet_hdr = port->vnet_hdr;
	if (port->owner)
		in->user_id(in->arg, port->owner, false, &op->tun.owner);
	if (port->group)
		in->user_id(in->arg, port->group, true, &op->tun.group);
	op_add_name(undo, port->name);
	undo->may_fail = true;
	op_add_undo(op, undo);
}

/* Of an existing tap of ours: what only /dev/net/tun can change. */
static void plan_tap_owner(const struct plan_input *in, struct plan *p,
			   const struct bridge *b, const struct port *port,
			   const struct klink *l)
{
	uint32_t owner, group;
	struct op *op, *undo;

	wanted_rights(in, port, &owner, &group);
	if (owner == l->tun.owner && group == l->tun.group)
		return;
	op = plan_add(p, OP_TAP_CREATE, CLASS_SET, b->name, port->name,
		      "set %s's owner to %s and group to %s", port->name,
		      port->owner ? port->owner : "none",
		      port->group ? port->group : "none");
	op_drift(op, "owner", port->owner ? port->owner : "none",
		 "another");
	op->queues = port->queues;
	op->tun = l->tun;
	op->tun.owner = owner;
	op->tun.group = group;
	undo = op_new(OP_TAP_CREATE, port->name);
	undo->queues = port->queues;
	undo->tun = l->tun;
	op_add_undo(op, undo);
}

static void plan_taps(const struct plan_input *in, struct plan *p,
		      const struct bridge *b)
{
	for (size_t i = 0; i < b->ports.n; i++) {
		const struct port *port = model_port(in->m,
						     b->ports.v[i].text);
		const struct klink *l = link_of(in, port->name);

		if (port->type != PORT_TAP)
			continue;
		if (tap_anew(in, port, l)) {
			const char *why = tap_anew(in, port, l);
			struct op *op = plan_add(p, OP_LINK_DELETE,
						 CLASS_INTERRUPTS, b->name,
						 port->name, "remove tap %s, "
						 "to make it anew with %s",
						 port->name, why);
			op_add_name(op, port->name);
			op_drift(op, "tap", why, "otherwise");
			plan_tap_create(in, p, b, port);
		} else if (!l) {
			plan_tap_create(in, p, b, port);
		} else if (klink_is_ours(l)) {
			plan_tap_owner(in, p, b, port, l);
		}
	}
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

static bool wanted_mac(const struct plan_input *in, const struct bridge *b,
		       struct mac *out)
{
	const struct klink *u = b->uplink ? link_of(in, b->uplink) : NULL;

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

	if (wanted_mac(in, b, &m))
		mac_format(&m, mac);
	op = plan_add(p, OP_BRIDGE_CREATE, CLASS_CREATE, b->name, b->name,
		      "create bridge %s (MAC %s)", b->name, mac);
	op_drift(op, "exists", "bridge", "absent");
	op->set.has = LS_BRIDGE_BITS;
	op->set.br = wanted_options(b);
	op->set.br.stp = op->set.br.snooping = false;
	if (wanted_mac(in, b, &m)) {
		op->set.has |= LS_MAC;
		op->set.mac = m;
	}
	op_add_name(undo, b->name);
	undo->may_fail = true;
	op_add_undo(op, undo);

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
		op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, b->name,
			      "mark %s as netbr's", b->name);
		op->set.has = LS_ALIAS;
		str_put(op->set.alias, sizeof(op->set.alias), want);
		op_drift(op, "alias", want, l->alias);
	}
	if (wanted_mac(in, b, &m) && !mac_equal(&m, &l->mac))
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
	const struct klink *l = link_of(in, b->name);
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

/* ---- addresses -------------------------------------------------------- */

static bool usable(const struct kaddr *a)
{
	return !ip_is_linklocal6(&a->c.ip) && !(a->flags & IFA_F_TEMPORARY &&
						a->c.ip.family == AF_INET6);
}

static bool configured(const struct bridge *b, const struct ip *ip)
{
	for (size_t i = 0; i < b->address.n; i++)
		if (ip_equal(&b->address.v[i].cidr.ip, ip))
			return true;
	return false;
}

static struct op *plan_addr(struct plan *p, const char *bridge,
			    const char *link, const struct cidr *c, bool add)
{
	char text[CIDR_TEXT];
	struct op *op = plan_add(p, add ? OP_ADDR_ADD : OP_ADDR_DEL,
				 add ? CLASS_CREATE : CLASS_DELETE, bridge,
				 link, "%s %s %s %s", add ? "add" : "remove",
				 cidr_format(c, text), add ? "to" : "from",
				 link);

	op_drift(op, "address", add ? text : "absent", add ? "absent" : text);
	op->addr.c = *c;
	op->may_fail = !add;
	return op;
}

static void undo_addr_add(struct op *op)
{
	struct op *undo = op_new(OP_ADDR_DEL, op->object);

	undo->addr.c = op->addr.c;
	undo->may_fail = true;
	op_add_undo(op, undo);
}

/* The configured addresses, and those that the uplink brings along. */
static void plan_addresses(const struct plan_input *in, struct plan *p,
			   const struct bridge *b, const struct klink *up)
{
	const struct klink *l = link_of(in, b->name);
	struct saved_bridge *sb = state_add_bridge(in->st, b->name);
	char text[CIDR_TEXT];

	for (size_t i = 0; i < b->address.n; i++) {
		const struct cidr *c = &b->address.v[i].cidr;
		const struct kaddr *a = l ? kstate_addr(in->k, l->index,
							&c->ip) : NULL;

		saved_add_note(sb, 'a', cidr_format(c, text));
		if (a && a->c.plen == c->plen)
			continue;
		if (a)
			plan_addr(p, b->name, b->name, &a->c, false);
		undo_addr_add(plan_addr(p, b->name, b->name, c, true));
	}
	for (size_t i = 0; up && i < in->k->n_addrs; i++) {
		const struct kaddr *a = &in->k->addrs[i];
		struct op *op;

		if (a->index != up->index || !usable(a) ||
		    configured(b, &a->c.ip) ||
		    (l && kstate_addr(in->k, l->index, &a->c.ip)))
			continue;
		op = plan_addr(p, b->name, b->name, &a->c, true);
		op->addr.valid = a->valid;
		op->addr.preferred = a->preferred;
		undo_addr_add(op);
	}
}

/* Addresses of ours that left the config; others are left alone. */
static void plan_old_addresses(const struct plan_input *in, struct plan *p,
			       const struct bridge *b,
			       const struct saved_bridge *before)
{
	const struct klink *l = link_of(in, b->name);

	for (size_t i = 0; l && i < in->k->n_addrs; i++) {
		const struct kaddr *a = &in->k->addrs[i];
		char text[CIDR_TEXT];
		struct op *op, *undo;

		if (a->index != l->index || configured(b, &a->c.ip) ||
		    !saved_has_note(before, 'a', cidr_format(&a->c, text)))
			continue;
		op = plan_addr(p, b->name, b->name, &a->c, false);
		undo = op_new(OP_ADDR_ADD, b->name);
		op_copy_raw(&undo->addr.raw, &undo->addr.raw_len, a->raw,
			    a->raw_len);
		op_add_undo(op, undo);
	}
}

/* ---- moving the uplink ------------------------------------------------ */

static bool movable(const struct kroute *r, const struct klink *up)
{
	return r->oif == up->index && !r->multipath &&
	       r->type == RTN_UNICAST && r->protocol != RTPROT_KERNEL &&
	       !(r->family == AF_INET6 && ip_is_linklocal6(&r->dst.ip));
}

static bool connected(const struct kroute *r, const struct klink *up)
{
	return r->oif == up->index && r->protocol == RTPROT_KERNEL &&
	       r->type == RTN_UNICAST && r->table == RT_TABLE_MAIN &&
	       !ip_is_linklocal6(&r->dst.ip);
}

static struct op *raw_route_op(enum op_kind kind, const char *link,
			       const struct kroute *r, bool replace)
{
	struct op *op = op_new(kind, link);

	op_set_route(op, r, replace);
	return op;
}

static struct op *plan_raw_route(struct plan *p, enum op_kind kind,
				 const char *bridge, const char *link,
				 const struct kroute *r, bool replace)
{
	char text[160];
	struct op *op;

	kroute_words(r, text, sizeof(text));
	op = plan_add(p, kind, kind == OP_ROUTE_ADD ? CLASS_SET :
		      CLASS_DELETE, bridge, link, "%s route %s %s %s",
		      kind == OP_ROUTE_ADD ? "move" : "remove", text,
		      kind == OP_ROUTE_ADD ? "to" : "from", link);
	op_drift(op, "route", kind == OP_ROUTE_ADD ? text : "absent",
		 kind == OP_ROUTE_ADD ? "elsewhere" : text);
	op_set_route(op, r, replace);
	op->may_fail = kind == OP_ROUTE_DEL;
	return op;
}

/* The routes of the uplink go over to the bridge. A v4 route is replaced in
 * one step; a v6 one is removed and added (replacing would leave two). */
static void plan_move_route(struct plan *p, const struct bridge *b,
			    const struct kroute *r)
{
	struct op *op, *undo;

	if (r->family == AF_INET6) {
		op = plan_raw_route(p, OP_ROUTE_DEL, b->name, b->uplink, r,
				    false);
		op->batch = p->batches;
		op_add_undo(op, raw_route_op(OP_ROUTE_ADD, b->uplink, r,
					     false));
	}
	op = plan_raw_route(p, OP_ROUTE_ADD, b->name, b->name, r,
			    r->family == AF_INET);
	op->batch = p->batches;
	if (r->family == AF_INET) {
		op_add_undo(op, raw_route_op(OP_ROUTE_ADD, b->uplink, r,
					     true));
	} else {
		undo = raw_route_op(OP_ROUTE_DEL, b->name, r, false);
		undo->may_fail = true;
		op_add_undo(op, undo);
	}
}

static void plan_enslave(struct plan *p, const struct bridge *b,
			 const struct klink *l, const char *name)
{
	struct op *op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, name,
				 "add %s to %s", name, b->name);
	struct op *undo = op_new(OP_LINK_SET, name);

	op_drift(op, "master", b->name, "none");
	op->set.has = LS_MASTER | (l->flags & IFF_UP ? 0 : LS_UP);
	op->set.up = true;
	str_put(op->set.master, sizeof(op->set.master), b->name);
	op->batch = p->batches;
	undo->set.has = op->set.has;
	undo->set.up = false;
	op_add_undo(op, undo);
}

/* How the uplink was, the first time we see it. */
static void save_uplink(const struct plan_input *in, const struct bridge *b,
			const struct klink *up)
{
	struct saved_bridge *sb = state_add_bridge(in->st, b->name);

	if (streq(sb->uplink, up->name) ||
	    streq(master_name(in, up), b->name))
		return;
	str_put(sb->uplink, sizeof(sb->uplink), up->name);
	sb->uplink_up = up->flags & IFF_UP;
	for (size_t i = 0; i < in->k->n_addrs; i++) {
		const struct kaddr *a = &in->k->addrs[i];

		if (a->index == up->index && usable(a))
			saved_add_raw(&sb->addrs, &sb->n_addrs, a->raw,
				      a->raw_len);
	}
	for (size_t i = 0; i < in->k->n_routes; i++)
		if (movable(&in->k->routes[i], up))
			saved_add_raw(&sb->routes, &sb->n_routes,
				      in->k->routes[i].raw,
				      in->k->routes[i].raw_len);
}

/* One send: the uplink joins, the bridge comes up, routes change over. The
 * addresses are on the bridge already; those of the uplink go afterwards,
 * last first, since deleting a primary takes its secondaries along. */
static void plan_uplink(const struct plan_input *in, struct plan *p,
			const struct bridge *b, const struct klink *up)
{
	const struct klink *l = link_of(in, b->name);
	struct mac m;

	p->batches++;
	if (!l || up->master != l->index)
		plan_enslave(p, b, up, b->uplink);
	else if (!(up->flags & IFF_UP))
		plan_set_up(p, b->name, b->uplink, true, true);
	if (!l || !(l->flags & IFF_UP)) {
		plan_set_up(p, b->name, b->name, true, l);
		p->v[p->n - 1]->batch = p->batches;
	}
	if (!l || up->master != l->index)
		plan_neighbours(in, p, b->name, up, b->name);
	for (size_t i = 0; i < in->k->n_routes; i++) {
		const struct kroute *r = &in->k->routes[i];
		struct op *op;

		if (!connected(r, up))
			continue;
		op = plan_raw_route(p, OP_ROUTE_DEL, b->name, b->uplink, r,
				    false);
		op->batch = p->batches;
		op_add_undo(op, raw_route_op(OP_ROUTE_ADD, b->uplink, r,
					     false));
	}
	for (size_t i = 0; i < in->k->n_routes; i++)
		if (movable(&in->k->routes[i], up))
			plan_move_route(p, b, &in->k->routes[i]);
	for (size_t i = in->k->n_addrs; i-- > 0;) {
		const struct kaddr *a = &in->k->addrs[i];
		struct op *op, *undo;

		if (a->index != up->index || !usable(a))
			continue;
		op = plan_addr(p, b->name, b->uplink, &a->c, false);
		undo = op_new(OP_ADDR_ADD, b->uplink);
		op_copy_raw(&undo->addr.raw, &undo->addr.raw_len, a->raw,
			    a->raw_len);
		op_add_undo(op, undo);
	}
	if ((!l || up->master != l->index) && wanted_mac(in, b, &m) &&
	    !mac_equal(&m, &up->mac))
		plan_add(p, OP_ANNOUNCE, CLASS_SET, b->name, b->name,
			 "tell the neighbours of %s's MAC address", b->name);
}

/* ---- ports ------------------------------------------------------------ */

static void save_port(const struct plan_input *in, const struct bridge *b,
		      const struct klink *l)
{
	struct saved_bridge *sb = state_add_bridge(in->st, b->name);
	struct saved_port s = { .was_up = l->flags & IFF_UP, .has_mac = true,
				.mac = l->mac, .mtu = l->mtu };

	if (saved_port(sb, l->name) || l->master)
		return;
	str_put(s.name, sizeof(s.name), l->name);
	ARRAY_GROW(sb->ports, sb->n_ports);
	sb->ports[sb->n_ports++] = s;
}

static void wanted_port(const struct plan_input *in, const struct bridge *b,
			const struct port *port, bool ours,
			struct link_set *w)
{
	uint32_t mtu = port->mtu ? port->mtu : want_bridge_mtu(in, b);

	*w = (struct link_set){ .has = LS_MASTER | LS_UP, .up = true };
	str_put(w->master, sizeof(w->master), b->name);
	if (port->has_mac || ours) {
		w->has |= LS_MAC;
		w->mac = port->has_mac ? port->mac : port_default_mac(port);
	}
	if (port->mtu || (ours && mtu)) {
		w->has |= LS_MTU;
		w->mtu = mtu;
	}
	if (ours) {
		w->has |= LS_ALIAS;
		snprintf(w->alias, sizeof(w->alias), "netbr %s", b->name);
	}
}

/* A tap just made: everything in one message. */
static void plan_new_port(struct plan *p, const struct bridge *b,
			  const struct port *port, const struct link_set *w)
{
	struct op *op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name,
				 port->name, "add %s to %s", port->name,
				 b->name);

	op->set = *w;
	op_drift(op, "master", b->name, "none");
}

static void plan_port_attr(struct plan *p, const struct bridge *b,
			   const struct klink *l, const struct link_set *w,
			   unsigned int bit, const char *attr,
			   const char *want, const char *have,
			   const char *old_master)
{
	struct op *op, *undo;

	if (bit == LS_MASTER)
		op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, l->name,
			      "add %s to %s", l->name, want);
	else
		op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, l->name,
			      "set %s %s to %s (was %s)", l->name, attr,
			      want, have);
	op_drift(op, attr, want, have);
	op->set = *w;
	op->set.has = bit;
	undo = op_new(OP_LINK_SET, l->name);
	undo->set.has = bit;
	undo->set.mac = l->mac;
	undo->set.mtu = l->mtu;
	undo->set.up = l->flags & IFF_UP;
	undo->set.isolated = l->isolated;
	str_put(undo->set.alias, sizeof(undo->set.alias), l->alias);
	str_put(undo->set.master, IFNAMSIZ, old_master);
	op_add_undo(op, undo);
}

static void plan_old_port(const struct plan_input *in, struct plan *p,
			  const struct bridge *b, const struct klink *l,
			  const struct link_set *w)
{
	const char *master = master_name(in, l);
	char want[MAC_TEXT], have[MAC_TEXT];

	if ((w->has & LS_MAC) && !mac_equal(&w->mac, &l->mac))
		plan_port_attr(p, b, l, w, LS_MAC, "mac",
			       mac_format(&w->mac, want),
			       mac_format(&l->mac, have), master);
	if ((w->has & LS_MTU) && w->mtu != l->mtu) {
		snprintf(want, sizeof(want), "%u", w->mtu);
		snprintf(have, sizeof(have), "%u", l->mtu);
		plan_port_attr(p, b, l, w, LS_MTU, "mtu", want, have, master);
	}
	if ((w->has & LS_ALIAS) && !streq(w->alias, l->alias))
		plan_port_attr(p, b, l, w, LS_ALIAS, "alias", w->alias,
			       l->alias, master);
	if (!streq(master, b->name))
		plan_port_attr(p, b, l, w, LS_MASTER, "master", b->name,
			       *master ? master : "none", master);
	if (!(l->flags & IFF_UP))
		plan_port_attr(p, b, l, w, LS_UP, "up", "up", "down", master);
}

static void plan_isolated(struct plan *p, const struct bridge *b,
			  const struct port *port, const struct klink *l)
{
	bool want = port_isolated(port);
	bool have = l && l->isolated;
	struct op *op, *undo;

	if (want == have)
		return;
	op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, port->name,
		      "set %s isolated %s", port->name, want ? "on" : "off");
	op_drift(op, "isolated", want ? "on" : "off", have ? "on" : "off");
	op->set.has = LS_ISOLATED;
	op->set.isolated = want;
	if (l) {
		undo = op_new(OP_LINK_SET, port->name);
		undo->set.has = LS_ISOLATED;
		undo->set.isolated = have;
		op_add_undo(op, undo);
	}
}

/* Sets a v6 knob of a link that this very plan makes. */
static struct op *plan_knob(struct plan *p, const struct bridge *b,
			    const char *ifname, const char *knob,
			    const char *value)
{
	_cleanup_free_ char *path = ifname_sysctl(AF_INET6, ifname, knob);
	struct op *op = plan_add(p, OP_SYSCTL, CLASS_SET, b->name, "",
				 "set %s to %s", path, value);

	op->path = xstrdup(path);
	op->value = xstrdup(value);
	op->may_fail = true;
	return op;
}

/* A port is layer 2 only: the host must not be reached through it. */
static void plan_port_ipv6(const struct plan_input *in, struct plan *p,
			   const struct bridge *b, const char *name,
			   const struct klink *l, bool remember)
{
	_cleanup_free_ char *path = ifname_sysctl(AF_INET6, name,
						  "disable_ipv6");

	if (!l)
		op_drift(plan_knob(p, b, name, "disable_ipv6", "1"), path,
			 "1", "absent");
	else if (remember || !l->disable_ipv6)
		plan_sysctl(in, p, b->name, path, "1", remember, false);
}

static void plan_ports(const struct plan_input *in, struct plan *p,
		       const struct bridge *b)
{
	for (size_t i = 0; i < b->ports.n; i++) {
		const struct port *port = model_port(in->m,
						     b->ports.v[i].text);
		const struct klink *l = link_of(in, port->name);
		bool anew = port->type == PORT_TAP &&
			    (!l || tap_anew(in, port, l));
		bool ours = anew || klink_is_ours(l);
		struct link_set w;

		if (anew)
			l = NULL;
		wanted_port(in, b, port, ours, &w);
		if (!ours)
			save_port(in, b, l);
		plan_port_ipv6(in, p, b, port->name, l, !ours);
		if (anew)
			plan_new_port(p, b, port, &w);
		else
			plan_old_port(in, p, b, l, &w);
		plan_isolated(p, b, port, l);
	}
}

/* foreign_ports = remove: ports that the config does not know leave. */
static void plan_foreign_ports(const struct plan_input *in, struct plan *p,
			       const struct bridge *b)
{
	const struct klink *br = link_of(in, b->name);

	for (size_t i = 0; br && i < in->k->n_links; i++) {
		const struct klink *l = &in->k->links[i];
		struct op *op, *undo;

		if (l->master != br->index || list_has(&b->ports, l->name) ||
		    (b->uplink && streq(b->uplink, l->name)) ||
		    klink_is_ours(l) || b->foreign_ports == FOREIGN_KEEP)
			continue;
		op = plan_add(p, OP_LINK_SET, CLASS_INTERRUPTS, b->name,
			      l->name, "take %s off %s (foreign_ports = "
			      "remove)", l->name, b->name);
		op_drift(op, "master", "none", b->name);
		op->set.has = LS_MASTER;
		undo = op_new(OP_LINK_SET, l->name);
		undo->set.has = LS_MASTER;
		str_put(undo->set.master, IFNAMSIZ, b->name);
		op_add_undo(op, undo);
	}
}

/* ---- routes of the config --------------------------------------------- */

static bool has_route(const struct plan_input *in, const struct bridge *b,
		      const struct cidr *dst, const struct ip *gw,
		      uint32_t metric, const struct klink *up)
{
	const struct klink *l = link_of(in, b->name);

	for (size_t i = 0; i < in->k->n_routes; i++) {
		const struct kroute *r = &in->k->routes[i];

		/* on the bridge, or on its way there from the uplink */
		if ((l && r->oif == l->index) || (up && movable(r, up)))
			if (r->family == gw->family &&
			    r->dst.plen == dst->plen &&
			    (!dst->plen || ip_equal(&r->dst.ip, &dst->ip)) &&
			    r->gw.family && ip_equal(&r->gw, gw) &&
			    r->metric == metric &&
			    r->table == RT_TABLE_MAIN)
				return true;
	}
	return false;
}

static void plan_route(const struct plan_input *in, struct plan *p,
		       const struct bridge *b, const struct cidr *dst,
		       const struct ip *gw, uint32_t metric,
		       const struct klink *up)
{
	char text[CIDR_TEXT] = "default", via[IP_TEXT], note[160];
	struct op *op, *undo;

	if (dst->plen)
		cidr_format(dst, text);
	ip_format(gw, via);
	snprintf(note, sizeof(note), "%s via %s metric %u", text, via, metric);
	saved_add_note(state_add_bridge(in->st, b->name), 'r', note);
	if (has_route(in, b, dst, gw, metric, up))
		return;
	op = plan_add(p, OP_ROUTE_ADD, CLASS_CREATE, b->name, b->name,
		      "add route %s dev %s", note, b->name);
	op_drift(op, "route", note, "absent");
	op->route = (struct op_route){ .dst = *dst, .gw = *gw,
				       .metric = metric };
	undo = op_new(OP_ROUTE_DEL, b->name);
	undo->route = op->route;
	undo->may_fail = true;
	op_add_undo(op, undo);
}

/* A route as the config writes it; check.c has seen that it is one. */
static void parse_route(const char *text, struct cidr *dst, struct ip *gw,
			uint32_t *metric)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *save, *w = strtok_r(copy, " \t", &save);
	struct cidr c;

	*dst = (struct cidr){ 0 };
	if (!streq(w, "default") && cidr_parse(w, true, &c))
		*dst = cidr_network(&c);
	strtok_r(NULL, " \t", &save);
	ip_parse(strtok_r(NULL, " \t", &save), gw);
	dst->ip.family = gw->family;
	w = strtok_r(NULL, " \t", &save);
	*metric = w ? strtoul(save, NULL, 10) :
		  gw->family == AF_INET6 ? 1024 : 0;
}

static void plan_routes(const struct plan_input *in, struct plan *p,
			const struct bridge *b, const struct klink *up)
{
	for (size_t i = 0; i < b->gateway.n; i++) {
		const struct ip *gw = &b->gateway.v[i].cidr.ip;
		struct cidr dst = { .ip.family = gw->family };

		plan_route(in, p, b, &dst, gw,
			   gw->family == AF_INET6 ? 1024 : 0, up);
	}
	for (size_t i = 0; i < b->routes.n; i++) {
		struct cidr dst;
		struct ip gw;
		uint32_t metric;

		parse_route(b->routes.v[i].text, &dst, &gw, &metric);
		plan_route(in, p, b, &dst, &gw, metric, up);
	}
}

/* Routes of ours that left the config. */
static void plan_old_routes(const struct plan_input *in, struct plan *p,
			    const struct bridge *b,
			    const struct saved_bridge *before)
{
	const struct saved_bridge *now = state_bridge(in->st, b->name);
	const struct klink *l = link_of(in, b->name);

	for (size_t i = 0; l && i < in->k->n_routes; i++) {
		const struct kroute *r = &in->k->routes[i];
		char text[160], note[200];
		struct op *op;

		if (r->oif != l->index || !r->gw.family)
			continue;
		kroute_words(r, text, sizeof(text));
		snprintf(note, sizeof(note), "%s metric %u", text, r->metric);
		if (!saved_has_note(before, 'r', note) ||
		    saved_has_note(now, 'r', note))
			continue;
		op = plan_raw_route(p, OP_ROUTE_DEL, b->name, b->name, r,
				    false);
		op_add_undo(op, raw_route_op(OP_ROUTE_ADD, b->name, r,
					     false));
	}
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
	if (!bridge_routes(b))
		return;
	if (bridge_address(b, AF_INET))
		plan_sysctl(in, p, b->name, "net/ipv4/ip_forward", "1", true,
			    false);
	if (bridge_address(b, AF_INET6)) {
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
	bool missing = !link_of(in, b->name);

	for (size_t i = 0; i < N_ELEMENTS(knobs); i++) {
		_cleanup_free_ char *path = ifname_sysctl(AF_INET6, b->name,
							  knobs[i]);
		if (bridge_mode(b) != MODE_BRIDGED)
			plan_sysctl(in, p, b->name, path, "0", false,
				    missing);
	}
}

/* ---- the whole -------------------------------------------------------- */

/* The uplink's v6 addresses were checked for duplicates once: while they
 * move, the bridge takes them at its word. */
static bool moves_ipv6(const struct plan_input *in, const struct klink *up)
{
	for (size_t i = 0; up && i < in->k->n_addrs; i++)
		if (in->k->addrs[i].index == up->index &&
		    usable(&in->k->addrs[i]) &&
		    in->k->addrs[i].c.ip.family == AF_INET6)
			return true;
	return false;
}

/* The config names another uplink, or none: the old one gets back what it
 * had. */
static void plan_old_uplink(const struct plan_input *in, struct plan *p,
			    const struct bridge *b)
{
	const struct saved_bridge *sb = state_bridge(in->st, b->name);
	bool bridged = bridge_mode(b) == MODE_BRIDGED;

	if (sb && *sb->uplink && !(bridged && streq(sb->uplink, b->uplink)))
		plan_release_uplink(in, p, b->name, true);
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

static void plan_one(const struct plan_input *in, struct plan *p,
		     const struct bridge *b, const struct saved_bridge *before)
{
	const struct klink *l = link_of(in, b->name);
	const struct klink *up = bridge_mode(b) == MODE_BRIDGED ?
				 link_of(in, b->uplink) : NULL;
	bool dad = moves_ipv6(in, up);

	plan_taps(in, p, b);
	if (l)
		plan_bridge_set(in, p, b, l);
	else
		plan_bridge_create(in, p, b);
	plan_bridge_sysctls(in, p, b);
	if (dad)
		plan_knob(p, b, b->name, "accept_dad", "0");
	plan_old_uplink(in, p, b);
	if (up)
		save_uplink(in, b, up);
	plan_old_addresses(in, p, b, before);
	plan_addresses(in, p, b, up);
	plan_firewall(in, p, b, b->name);
	if (up)
		plan_uplink(in, p, b, up);
	else if (!l || !(l->flags & IFF_UP))
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
	plan_remove_taps(in, p, b->name, true);
}

/* Bridges of ours that the config no longer has. */
void plan_gone(const struct plan_input *in, struct plan *p)
{
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
