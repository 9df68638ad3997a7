/* Addresses and routes, and how they move from the uplink to the bridge. */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "planpart.h"

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

/* The same address, but of another subnet. */
static bool resized(const struct bridge *b, const struct kaddr *a)
{
	for (size_t i = 0; i < b->address.n; i++)
		if (ip_equal(&b->address.v[i].cidr.ip, &a->c.ip))
			return b->address.v[i].cidr.plen != a->c.plen;
	return false;
}

static struct op *plan_addr(struct plan *p, const char *bridge,
			    const char *link, const struct cidr *c, bool add,
			    bool noprefix)
{
	char text[CIDR_TEXT];
	struct op *op = plan_add(p, add ? OP_ADDR_ADD : OP_ADDR_DEL,
				 add ? CLASS_CREATE : CLASS_DELETE, bridge,
				 link, "%s %s %s %s", add ? "add" : "remove",
				 cidr_format(c, text), add ? "to" : "from",
				 link);

	op_drift(op, "address", add ? text : "absent", add ? "absent" : text);
	op->addr.c = *c;
	op->addr.noprefix = noprefix;
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

/* The bridge gives up an address. */
static void plan_addr_gone(struct plan *p, const struct bridge *b,
			   const struct kaddr *a)
{
	struct op *op = plan_addr(p, b->name, b->name, &a->c, false, false);
	struct op *undo = op_new(OP_ADDR_ADD, b->name);

	op_copy_raw(&undo->addr.raw, &undo->addr.raw_len, a->raw, a->raw_len);
	op_add_undo(op, undo);
}

/* The configured addresses of a family, and those that the uplink brings
 * along. batch: the one that they are part of, or 0. */
void plan_addresses(const struct plan_input *in, struct plan *p,
		    const struct bridge *b, const struct klink *up,
		    int family, unsigned int batch)
{
	size_t first = p->n;

	const struct klink *l = plan_link(in, b->name);
	struct saved_bridge *sb = state_add_bridge(in->st, b->name);
	char text[CIDR_TEXT];

	for (size_t i = 0; i < b->address.n; i++) {
		const struct cidr *c = &b->address.v[i].cidr;
		const struct kaddr *a = l ? kstate_addr(in->k, l->index,
							&c->ip) : NULL;

		if (c->ip.family != family)
			continue;
		saved_add_note(sb, 'a', cidr_format(c, text));
		if (a && a->c.plen == c->plen)
			continue;
		/* v4 can have both for a moment, and keeps its routes then */
		if (a && c->ip.family == AF_INET6)
			plan_addr_gone(p, b, a);
		undo_addr_add(plan_addr(p, b->name, b->name, c, true,
					bridge_mode(b) == MODE_PROXYARP));
	}
	for (size_t i = 0; up && i < in->k->n_addrs; i++) {
		const struct kaddr *a = &in->k->addrs[i];
		struct op *op;

		if (a->c.ip.family != family || a->index != up->index ||
		    !usable(a) || configured(b, &a->c.ip) ||
		    (l && kstate_addr(in->k, l->index, &a->c.ip)))
			continue;
		op = plan_addr(p, b->name, b->name, &a->c, true, false);
		op->addr.valid = a->valid;
		op->addr.preferred = a->preferred;
		undo_addr_add(op);
	}
	for (size_t i = first; i < p->n; i++)
		p->v[i]->batch = batch;
}

void plan_host_addresses(const struct plan_input *in, struct plan *p,
			 const struct bridge *b)
{
	const struct klink *l = plan_link(in, b->name);
	const struct klink *up = b->uplink ? plan_link(in, b->uplink) : NULL;
	struct saved_bridge *sb = state_add_bridge(in->st, b->name);
	char text[CIDR_TEXT];

	if (!up || b->host != HOST_UPLINK || bridge_mode(b) != MODE_MACNAT)
		return;
	for (size_t i = 0; i < in->k->n_addrs; i++) {
		const struct kaddr *a = &in->k->addrs[i];
		struct cidr c = { .ip = a->c.ip, .plen = ip_bits(&a->c.ip) };

		/* link-local ones too: that is what discovery asks from */
		if (a->index != up->index ||
		    (!usable(a) && !ip_is_linklocal6(&a->c.ip)))
			continue;
		saved_add_note(sb, 'a', cidr_format(&c, text));
		if (!l || !kstate_addr(in->k, l->index, &c.ip))
			undo_addr_add(plan_addr(p, b->name, b->name, &c, true,
						true));
	}
}

/* An address of ours that left the config; others are left alone. */
static bool leaving(const struct plan_input *in, const struct bridge *b,
		    const struct saved_bridge *before, const struct kaddr *a)
{
	const struct klink *l = plan_link(in, b->name);
	char text[CIDR_TEXT];

	if (!l || a->index != l->index)
		return false;
	if (resized(b, a))
		return a->c.ip.family == AF_INET;
	return !configured(b, &a->c.ip) &&
	       !saved_has_note(state_bridge(in->st, b->name), 'a',
			       cidr_format(&a->c, text)) &&
	       saved_has_note(before, 'a', cidr_format(&a->c, text));
}

/* Old addresses go when the new ones are there: with its last address a link
 * loses all of its routes; and, unless it promotes secondaries (ip-sysctl),
 * with the first of a subnet the others of that subnet. That is set first,
 * so that it holds on the way back too. */
void plan_promote(const struct plan_input *in, struct plan *p,
		  const struct bridge *b, const struct saved_bridge *before)
{
	_cleanup_free_ char *path = ifname_sysctl(AF_INET, b->name,
						  "promote_secondaries");

	for (size_t i = 0; i < in->k->n_addrs; i++) {
		const struct kaddr *a = &in->k->addrs[i];

		if (a->c.ip.family == AF_INET && leaving(in, b, before, a)) {
			plan_sysctl(in, p, b->name, path, "1", false, false);
			return;
		}
	}
}

void plan_old_addresses(const struct plan_input *in, struct plan *p,
			const struct bridge *b,
			const struct saved_bridge *before)
{
	for (size_t i = 0; i < in->k->n_addrs; i++)
		if (leaving(in, b, before, &in->k->addrs[i]))
			plan_addr_gone(p, b, &in->k->addrs[i]);
}

/* ---- moving the uplink ------------------------------------------------ */

static bool movable(const struct kroute *r, const struct klink *up)
{
	return r->oif == up->index && !r->multipath &&
	       r->type == RTN_UNICAST && r->protocol != RTPROT_KERNEL &&
	       !(r->family == AF_INET6 && ip_is_linklocal6(&r->dst.ip));
}

bool plan_connected(const struct kroute *r, const struct klink *up)
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
void plan_save_uplink(const struct plan_input *in, const struct bridge *b,
		      const struct klink *up)
{
	struct saved_bridge *sb = state_add_bridge(in->st, b->name);

	if (streq(sb->uplink, up->name) ||
	    streq(plan_master(in, up), b->name))
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

static struct op *plan_carrier(struct plan *p, const struct bridge *b,
			       bool hold)
{
	struct op *op = plan_add(p, OP_CARRIER, CLASS_SET, b->name, b->name,
				 hold ? "give %s a carrier while %s joins" :
				 "%s's carrier is that of %s from now on",
				 b->name, b->uplink);

	op->hold = hold;
	return op;
}

struct op *plan_settle(struct plan *p, const char *bridge, const char *link)
{
	return plan_add(p, OP_SETTLE, CLASS_SET, bridge, link,
			"wait until %s sends, and answers for its addresses",
			link);
}

/* The bridge comes up and the uplink joins, in this order where the bridge
 * can be given a carrier before: then all that the LAN sends is either the
 * uplink's or the bridge's, whatever comes between two messages. Without,
 * the bridge must not be up before it has its first port: it would send
 * nothing for up to a second. */
static void plan_join(const struct plan_input *in, struct plan *p,
		      const struct bridge *b, const struct klink *up)
{
	const struct klink *l = plan_link(in, b->name);
	bool is_up = l && (l->flags & IFF_UP);

	if (in->has_tun)
		op_add_undo(plan_carrier(p, b, true),
			    op_new(OP_CARRIER, b->name));
	p->batches++;
	if (!is_up && in->has_tun) {
		plan_set_up(p, b->name, b->name, true, l);
		p->v[p->n - 1]->batch = p->batches;
	}
	plan_enslave(p, b, up, b->uplink);
	if (!is_up && !in->has_tun) {
		plan_set_up(p, b->name, b->name, true, l);
		p->v[p->n - 1]->batch = p->batches;
	}
	/* of two v6 routes to a subnet the kernel takes either: not before
	 * both lead to the LAN */
	plan_addresses(in, p, b, up, AF_INET6, p->batches);
	plan_neighbours(in, p, b->name, up, b->name);
}

/* One send: the bridge comes up, the uplink joins, routes change over. The
 * v4 addresses are on the bridge already; those of the uplink go afterwards,
 * last first, since deleting a primary takes its secondaries along. */
void plan_uplink(const struct plan_input *in, struct plan *p,
		 const struct bridge *b, const struct klink *up)
{
	const struct klink *l = plan_link(in, b->name);
	bool joins = bridge_enslaves(b) && (!l || up->master != l->index);
	struct mac m;

	if (joins) {
		plan_join(in, p, b, up);
	} else {
		plan_addresses(in, p, b, up, AF_INET6, 0);
		p->batches++;
		if (!(up->flags & IFF_UP))
			plan_set_up(p, b->name, b->uplink, true, true);
		if (!bridge_has_veth(b) && !(l->flags & IFF_UP)) {
			plan_set_up(p, b->name, b->name, true, l);
			p->v[p->n - 1]->batch = p->batches;
		}
	}
	for (size_t i = 0; i < in->k->n_routes; i++) {
		const struct kroute *r = &in->k->routes[i];
		struct op *op;

		if (!plan_connected(r, up))
			continue;
		op = plan_raw_route(p, OP_ROUTE_DEL, b->name, b->uplink, r,
				    false);
		op->batch = p->batches;
		op_add_undo(op, raw_route_op(OP_ROUTE_ADD, b->uplink, r,
					     false));
	}
	/* gateways are reached over the other routes: those first */
	for (size_t i = 0; i < 2 * in->k->n_routes; i++) {
		const struct kroute *r = &in->k->routes[i % in->k->n_routes];

		if (movable(r, up) && !!r->gw.family == i / in->k->n_routes)
			plan_move_route(p, b, r);
	}
	if (joins && in->has_tun)
		plan_carrier(p, b, false);
	if (plan_moves_ipv6(in, up))
		op_add_undo(plan_settle(p, b->name, b->name),
			    op_new(OP_SETTLE, b->uplink));
	for (size_t i = in->k->n_addrs; i-- > 0;) {
		const struct kaddr *a = &in->k->addrs[i];
		struct op *op, *undo;

		if (a->index != up->index || !usable(a))
			continue;
		op = plan_addr(p, b->name, b->uplink, &a->c, false, false);
		undo = op_new(OP_ADDR_ADD, b->uplink);
		op_copy_raw(&undo->addr.raw, &undo->addr.raw_len, a->raw,
			    a->raw_len);
		op_add_undo(op, undo);
	}
	if (joins && plan_wanted_mac(in, b, &m) &&
	    !mac_equal(&m, &up->mac))
		plan_add(p, OP_ANNOUNCE, CLASS_SET, b->name, b->name,
			 "tell the neighbours of %s's MAC address", b->name);
}

/* ---- routes of the config --------------------------------------------- */

static bool has_route(const struct plan_input *in, const struct bridge *b,
		      const struct cidr *dst, const struct ip *gw,
		      uint32_t metric, const struct klink *up)
{
	const struct klink *l = plan_link(in, b->name);

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

void plan_routes(const struct plan_input *in, struct plan *p,
		 const struct bridge *b, const struct klink *up)
{
	/* what `auto` found may not be what gateway was written for */
	if (bridge_mode(b) == MODE_PROXYARP)
		return;
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
void plan_old_routes(const struct plan_input *in, struct plan *p,
		     const struct bridge *b,
		     const struct saved_bridge *before)
{
	const struct saved_bridge *now = state_bridge(in->st, b->name);
	const struct klink *l = plan_link(in, b->name);

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


/* The uplink's v6 addresses were checked for duplicates once: while they
 * move, the bridge takes them at its word. */
bool plan_moves_ipv6(const struct plan_input *in, const struct klink *up)
{
	for (size_t i = 0; up && i < in->k->n_addrs; i++)
		if (in->k->addrs[i].index == up->index &&
		    usable(&in->k->addrs[i]) &&
		    in->k->addrs[i].c.ip.family == AF_INET6)
			return true;
	return false;
}
