/* What `down` must do, and what `up` must take back. */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fwdelta.h"
#include "planpart.h"

/* ---- sysctls ---------------------------------------------------------- */

/* Back to the old value, unless somebody has changed it since. */
static void restore_sysctl(const struct plan_input *in, struct plan *p,
			   const struct saved_sysctl *y)
{
	_cleanup_free_ char *have = in->sysctl(in->arg, y->path);
	struct op *op, *undo;

	if (!have || !streq(have, y->set) || streq(y->old, y->set))
		return;
	op = plan_add(p, OP_SYSCTL, CLASS_SET, "", "",
		      "set %s back to %s", y->path, y->old);
	op_drift(op, y->path, y->old, have);
	op->path = xstrdup(y->path);
	op->value = xstrdup(y->old);
	undo = op_new(OP_SYSCTL, "");
	undo->path = xstrdup(y->path);
	undo->value = xstrdup(have);
	op_add_undo(op, undo);
}

void plan_restore_sysctls(const struct plan_input *in, struct plan *p)
{
	/* last set first: forwarding goes off before accept_ra */
	for (size_t i = in->st->n_sysctls; i-- > 0;) {
		if (in->st->sysctls[i].n_bridges)
			continue;
		restore_sysctl(in, p, &in->st->sysctls[i]);
		state_drop_sysctl(in->st, i);
	}
}

/* ---- firewall --------------------------------------------------------- */

static struct op *firewall_op(const char *bridge, const char *backend,
			      const char *text)
{
	struct op *op = op_new(OP_FIREWALL, bridge);

	str_put(op->bridge, sizeof(op->bridge), bridge);
	op->backend = xstrdup(backend);
	op->text = xstrdup(text);
	return op;
}

/* What would bring back the rules that are loaded now. */
static struct op *firewall_undo(const struct plan_input *in,
				struct saved_bridge *sb, const char *bridge,
				const char *backend, bool loaded)
{
	const char *text = loaded && sb && sb->fw_backend &&
			   streq(sb->fw_backend, backend) ?
			   in->fw_saved(in->arg, sb) : NULL;
	struct op *undo = firewall_op(bridge, backend, text ? text : "");

	undo->may_fail = true;
	return undo;
}

static void remove_firewall(const struct plan_input *in, struct plan *p,
			    const char *name, const char *backend)
{
	_cleanup_free_ char *digest = in->fw_digest(in->arg, backend, name);
	struct saved_bridge *sb = state_bridge(in->st, name);
	struct op *op, *made;

	if (!digest)
		return;
	op = plan_add(p, OP_FIREWALL, CLASS_DELETE, name, name,
		      "remove %s's %s rules", name, backend);
	op_drift(op, "firewall", "none", "loaded");
	made = firewall_op(name, backend, "");
	op->backend = steal(&made->backend);
	op->text = steal(&made->text);
	op_free(made);
	op_add_undo(op, firewall_undo(in, sb, name, backend, true));
	if (sb)
		saved_set_firewall(sb, NULL, NULL, NULL);
}

static bool veth_missing(const struct plan_input *in, const struct bridge *b)
{
	char port[IFNAMSIZ], outer[IFNAMSIZ];

	if (!bridge_has_veth(b))
		return false;
	bridge_veth(b, port, outer);
	return !plan_link(in, port) || !plan_link(in, outer);
}

/* Loads the rules of b, or, with b NULL, removes those of `name`. */
void plan_firewall(const struct plan_input *in, struct plan *p,
		   const struct bridge *b, const char *name)
{
	struct saved_bridge *sb = state_bridge(in->st, name);
	_cleanup_free_ char *digest = NULL, *text = NULL, *delta = NULL;
	bool none = !b || streq(in->fw_backend, "none");
	const char *backend = sb && sb->fw_backend ? sb->fw_backend :
			      in->fw_backend;
	bool iptables = streq(backend, "iptables");
	bool as_loaded;
	struct op *op;

	/* the recorded ones first, since their record brings them back; the
	 * other ones too, for a run may have died between the two */
	if (iptables && (none || !streq(in->fw_backend, "iptables")))
		remove_firewall(in, p, name, "iptables");
	if (none || streq(in->fw_backend, "iptables"))
		remove_firewall(in, p, name, "nftables");
	if (none)
		return;
	text = in->fw_text(in->arg, b);
	if (!text) {
		plan_refuse(p, "%s: its firewall rules can't be made", name);
		return;
	}
	/* rules for veths that are made anew are no rules for these */
	if (!veth_missing(in, b))
		digest = in->fw_digest(in->arg, in->fw_backend, name);
	as_loaded = digest && sb && sb->fw_digest &&
		    streq(digest, sb->fw_digest);
	if (as_loaded && sb->fw_hash == hash_text(text, strlen(text)))
		return;
	if (as_loaded && streq(in->fw_backend, "nftables") &&
	    in->fw_saved(in->arg, sb))
		delta = fw_delta(in->fw_saved(in->arg, sb), text);
	op = plan_add(p, OP_FIREWALL, digest ? CLASS_SET : CLASS_CREATE,
		      name, name, "%s %s's %s rules", delta ?
		      "change elements of" : digest ? "replace" : "load",
		      name, in->fw_backend);
	op_drift(op, "firewall", "as configured", digest ? "different" :
		 "none");
	op->backend = xstrdup(in->fw_backend);
	op->text = xstrdup(text);
	op->delta = steal(&delta);
	op_add_undo(op, firewall_undo(in, sb, name, in->fw_backend, digest));
	if (sb)
		saved_set_firewall(sb, in->fw_backend, text, "");
}

/* coexist = firewalld: the bridge is in the zone that accepts. */
void plan_firewalld(const struct plan_input *in, struct plan *p,
		    const struct bridge *b, const char *name, bool ours)
{
	struct saved_bridge *sb = state_bridge(in->st, name);
	bool want = b && list_has(&b->coexist, "firewalld");
	_cleanup_free_ char *have = NULL;
	struct op *op;

	if (want || ours)
		have = in->fw_digest(in->arg, "firewalld", name);
	if (want && sb)
		saved_add_note(sb, 'z', "trusted");
	if (!have || streq(have, want ? "in" : "out"))
		return;
	op = plan_add(p, OP_FIREWALL, want ? CLASS_CREATE : CLASS_DELETE, name,
		      name, want ? "put %s into firewalld's zone trusted" :
		      "take %s out of firewalld's zone trusted", name);
	op_drift(op, "firewalld zone", want ? "trusted" : "none",
		 want ? "none" : "trusted");
	op->backend = xstrdup("firewalld");
	op->text = xstrdup(want ? "in" : "");
	op->may_fail = !want;
	op_add_undo(op, firewall_op(name, "firewalld", want ? "" : "in"));
}

/* ---- uplink ----------------------------------------------------------- */

/* An operation of the current batch; takes over the sentence. */
static struct op *add_batched(struct plan *p, enum op_kind kind,
			      enum op_class class, const char *bridge,
			      const char *object, char *sentence)
{
	struct op *op = plan_add(p, kind, class, bridge, object, "%s",
				 sentence);

	free(sentence);
	op->batch = p->batches;
	return op;
}

/* Has the address its subnet's route? A run that died while the uplink moved
 * may have taken just that. */
static bool has_subnet(const struct plan_input *in, const struct klink *up,
		       const struct kaddr *a)
{
	struct cidr net = cidr_network(&a->c);

	if (!(up->flags & IFF_UP) || a->flags & IFA_F_NOPREFIXROUTE ||
	    net.plen == ip_bits(&net.ip))
		return true;
	for (size_t i = 0; i < in->k->n_routes; i++) {
		const struct kroute *r = &in->k->routes[i];

		if (plan_connected(r, up) && r->family == a->c.ip.family &&
		    r->dst.plen == net.plen && ip_equal(&r->dst.ip, &net.ip))
			return true;
	}
	return false;
}

static void give_address(const struct plan_input *in, struct plan *p,
			 const char *bridge, const struct klink *up,
			 const struct kaddr *a)
{
	const struct kaddr *have = kstate_addr(in->k, up->index, &a->c.ip);
	char text[CIDR_TEXT];
	struct op *op, *undo;

	if (have && has_subnet(in, up, have))
		return;
	if (have) {
		op = add_batched(p, OP_ADDR_DEL, CLASS_DELETE, bridge, up->name,
				 xasprintf("remove %s without its route from "
					   "%s", cidr_format(&have->c, text),
					   up->name));
		op->addr.c = have->c;
		op->may_fail = true;
		undo = op_new(OP_ADDR_ADD, up->name);
		op_copy_raw(&undo->addr.raw, &undo->addr.raw_len, have->raw,
			    have->raw_len);
		op_add_undo(op, undo);
	}
	op = add_batched(p, OP_ADDR_ADD, CLASS_CREATE, bridge, up->name,
			 xasprintf("give %s back to %s",
				   cidr_format(&a->c, text), up->name));
	op_copy_raw(&op->addr.raw, &op->addr.raw_len, a->raw, a->raw_len);
	op->addr.c = a->c;
	undo = op_new(OP_ADDR_DEL, up->name);
	undo->addr.c = a->c;
	undo->may_fail = true;
	op_add_undo(op, undo);
}

/* The bridge loses a route, within the batch. */
static void drop_route(struct plan *p, const char *bridge,
		       const struct kroute *r)
{
	char text[160];
	struct op *op, *undo;

	kroute_words(r, text, sizeof(text));
	op = add_batched(p, OP_ROUTE_DEL, CLASS_DELETE, bridge, bridge,
			 xasprintf("remove route %s from %s", text, bridge));
	op_set_route(op, r, false);
	op->may_fail = true;
	undo = op_new(OP_ROUTE_ADD, bridge);
	op_set_route(undo, r, false);
	op_add_undo(op, undo);
}

static void give_route(struct plan *p, const char *bridge,
		       const struct klink *br, const struct klink *up,
		       const struct kroute *r)
{
	bool v6 = r->family == AF_INET6;
	char text[160];
	struct op *op, *undo;

	kroute_words(r, text, sizeof(text));
	if (v6 && br)
		drop_route(p, bridge, r);
	op = add_batched(p, OP_ROUTE_ADD, CLASS_SET, bridge, up->name,
			 xasprintf("move route %s to %s", text, up->name));
	op_set_route(op, r, !v6);
	if (!br)
		return;
	undo = op_new(v6 ? OP_ROUTE_DEL : OP_ROUTE_ADD, v6 ? up->name :
		      bridge);
	op_set_route(undo, r, !v6);
	undo->may_fail = true;
	op_add_undo(op, undo);
}

/* Was this address on the uplink before, or did we configure it? Then the
 * bridge must give it up; others on it are not ours. */
static bool bridge_owes(const struct saved_bridge *sb, const struct kaddr *a)
{
	char text[CIDR_TEXT];
	struct kaddr old;

	if (!sb || saved_has_note(sb, 'a', cidr_format(&a->c, text)))
		return true;
	for (size_t i = 0; i < sb->n_addrs; i++)
		if (kaddr_parse(&old, sb->addrs[i].v, sb->addrs[i].len) &&
		    ip_equal(&old.c.ip, &a->c.ip))
			return true;
	return false;
}

static void take_addresses(const struct plan_input *in, struct plan *p,
			   const char *bridge, const struct klink *br,
			   const struct saved_bridge *sb)
{
	for (size_t i = in->k->n_addrs; i-- > 0;) {
		const struct kaddr *a = &in->k->addrs[i];
		char text[CIDR_TEXT];
		struct op *op, *undo;

		if (a->index != br->index || ip_is_linklocal6(&a->c.ip) ||
		    !bridge_owes(sb, a))
			continue;
		op = add_batched(p, OP_ADDR_DEL, CLASS_DELETE, bridge, bridge,
				 xasprintf("remove %s from %s",
					   cidr_format(&a->c, text), bridge));
		op->addr.c = a->c;
		op->may_fail = true;
		undo = op_new(OP_ADDR_ADD, bridge);
		op_copy_raw(&undo->addr.raw, &undo->addr.raw_len, a->raw,
			    a->raw_len);
		op_add_undo(op, undo);
	}
}

void plan_neighbours(const struct plan_input *in, struct plan *p,
		     const char *bridge, const struct klink *from,
		     const char *to)
{
	char text[IP_TEXT];

	for (size_t i = 0; i < in->k->n_neighs; i++) {
		const struct kneigh *n = &in->k->neighs[i];

		if (n->index != from->index)
			continue;
		add_batched(p, OP_NEIGH_ADD, CLASS_SET, bridge, to,
			    xasprintf("tell %s of its neighbour %s", to,
				      ip_format(&n->ip, text)))->neigh = *n;
	}
}

static void leave_bridge(struct plan *p, const char *bridge,
			 const struct klink *up, bool was_up)
{
	struct op *op, *undo;

	op = add_batched(p, OP_LINK_SET, CLASS_SET, bridge, up->name,
			 xasprintf("take %s off %s", up->name, bridge));
	op_drift(op, "master", "none", bridge);
	op->set.has = LS_MASTER | (was_up ? 0 : LS_UP);
	op->set.up = was_up;
	undo = op_new(OP_LINK_SET, up->name);
	undo->set.has = op->set.has;
	undo->set.up = true;
	str_put(undo->set.master, IFNAMSIZ, bridge);
	op_add_undo(op, undo);
}

/* From here on the host sends through the uplink itself: it knows its
 * neighbours already, and what they send still arrives through the bridge
 * until the uplink has left it. */
static void drop_connected(const struct plan_input *in, struct plan *p,
			   const char *bridge, const struct klink *br)
{
	for (size_t i = 0; i < in->k->n_routes; i++)
		if (plan_connected(&in->k->routes[i], br))
			drop_route(p, bridge, &in->k->routes[i]);
}

/* Without a record of how the uplink was, it gets what the bridge has. */
static void give_from_bridge(const struct plan_input *in, struct plan *p,
			     const char *bridge, const struct klink *br,
			     const struct klink *up, bool bridge_stays,
			     bool left)
{
	for (size_t i = 0; i < in->k->n_addrs; i++)
		if (in->k->addrs[i].index == br->index &&
		    !ip_is_linklocal6(&in->k->addrs[i].c.ip))
			give_address(in, p, bridge, up, &in->k->addrs[i]);
	if (!bridge_stays)
		drop_connected(in, p, bridge, br);
	for (size_t i = 0; i < 2 * in->k->n_routes; i++) {
		const struct kroute *r = &in->k->routes[i % in->k->n_routes];

		if (r->oif == br->index && r->type == RTN_UNICAST &&
		    r->protocol != RTPROT_KERNEL && !r->multipath &&
		    !!r->gw.family == i / in->k->n_routes)
			give_route(p, bridge, br, up, r);
	}
	if (!left && up->master == br->index)
		leave_bridge(p, bridge, up, true);
}

static void give_from_record(const struct plan_input *in, struct plan *p,
			     const char *bridge, const struct klink *br,
			     const struct klink *up,
			     const struct saved_bridge *sb, bool bridge_stays,
			     bool left)
{
	for (size_t i = 0; i < sb->n_addrs; i++) {
		struct kaddr a;

		if (kaddr_parse(&a, sb->addrs[i].v, sb->addrs[i].len))
			give_address(in, p, bridge, up, &a);
	}
	if (br && !bridge_stays)
		drop_connected(in, p, bridge, br);
	/* gateways are reached over the others: those first */
	for (size_t i = 0; i < 2 * sb->n_routes; i++) {
		const struct raw *raw = &sb->routes[i % sb->n_routes];
		struct kroute r;

		if (kroute_parse(&r, raw->v, raw->len) &&
		    !!r.gw.family == i / sb->n_routes)
			give_route(p, bridge, br, up, &r);
	}
	if (!left && br && up->master == br->index)
		leave_bridge(p, bridge, up, sb->uplink_up);
}

/* The uplink of a bridge: by our record, else by the config. */
static const struct klink *find_uplink(const struct plan_input *in,
				       const char *bridge)
{
	const struct saved_bridge *sb = state_bridge(in->st, bridge);
	const struct bridge *b = model_bridge(in->m, bridge);
	const struct klink *br = plan_link(in, bridge), *up;

	if (sb && *sb->uplink)
		return plan_link(in, sb->uplink);
	up = b && b->uplink ? plan_link(in, b->uplink) : NULL;
	return up && br && (up->master == br->index ||
			    (bridge_has_veth(b) && bridge_takes_over(b))) ?
	       up : NULL;
}

static void quiet_dad(const struct plan_input *in, struct plan *p,
		      const char *bridge, const struct klink *up, bool end)
{
	_cleanup_free_ char *path = ifname_sysctl(AF_INET6, up->name,
						  "accept_dad");
	_cleanup_free_ char *have = in->sysctl(in->arg, path);
	struct op *op;

	if (!have || streq(have, "0"))
		return;
	op = plan_add(p, OP_SYSCTL, CLASS_SET, bridge, "", "set %s to %s",
		      path, end ? have : "0");
	op->path = xstrdup(path);
	op->value = xstrdup(end ? have : "0");
	op->may_fail = true;
	if (!end) {
		struct op *undo = op_new(OP_SYSCTL, "");

		undo->path = xstrdup(path);
		undo->value = xstrdup(have);
		undo->may_fail = true;
		op_add_undo(op, undo);
	}
}

/* Its IPv6 must be on again before it can take its addresses back. */
static void enable_ipv6(const struct plan_input *in, struct plan *p,
			const struct klink *up, bool unknown)
{
	_cleanup_free_ char *path = ifname_sysctl(AF_INET6, up->name,
						  "disable_ipv6");

	for (size_t i = 0; i < in->st->n_sysctls; i++) {
		if (!streq(in->st->sysctls[i].path, path))
			continue;
		restore_sysctl(in, p, &in->st->sysctls[i]);
		state_drop_sysctl(in->st, i);
		return;
	}
	if (up->disable_ipv6 && (up->master || unknown)) {
		struct op *op = plan_add(p, OP_SYSCTL, CLASS_SET, "", "",
					 "set %s to 0", path);

		op->path = xstrdup(path);
		op->value = xstrdup("0");
	}
}

/* Has the bridge veths of ours? Then rules take frames from the uplink. */
static bool translates(const struct plan_input *in, const char *bridge)
{
	for (size_t i = 0; i < in->k->n_links; i++) {
		const struct klink *l = &in->k->links[i];
		char of[IFNAMSIZ];

		if (streq(l->kind, "veth") &&
		    streq(klink_alias_bridge(l, of), bridge))
			return true;
	}
	return false;
}

void plan_release_uplink(const struct plan_input *in, struct plan *p,
			 const char *bridge, bool bridge_stays,
			 const struct saved_bridge *before)
{
	struct saved_bridge *sb = state_bridge(in->st, bridge);
	const struct klink *br = plan_link(in, bridge);
	const struct klink *up = find_uplink(in, bridge);
	bool recorded = sb && *sb->uplink, left;

	/* a station leaves first: only then can it go back to 3 addresses */
	left = up && br && up->master == br->index &&
	       saved_has_note(before, 'w', up->name);
	if (left) {
		p->batches++;
		leave_bridge(p, bridge, up, true);
	}
	if (up) {
		plan_wds_off(p, bridge, up, before);
		quiet_dad(in, p, bridge, up, false);
		enable_ipv6(in, p, up, !recorded);
		p->batches++;
		if (br)
			plan_neighbours(in, p, bridge, br, up->name);
		if (recorded)
			give_from_record(in, p, bridge, br, up, sb,
					 bridge_stays, left);
		else if (br)
			give_from_bridge(in, p, bridge, br, up, bridge_stays,
					 left);
		/* until then the bridge answers for the addresses */
		if (br && plan_moves_ipv6(in, br))
			plan_settle(p, bridge, up->name);
		if (br && bridge_stays)
			take_addresses(in, p, bridge, br, sb);
	}
	/* what arrives on the uplink must not go to the bridge any more */
	if (up && translates(in, bridge))
		plan_firewall(in, p, NULL, bridge);
	if (br && !bridge_stays && (br->flags & IFF_UP))
		plan_set_up(p, bridge, bridge, false, true);
	if (up) {
		quiet_dad(in, p, bridge, up, true);
		plan_client_start(in, p, bridge, up->name);
	}
	if (recorded) {
		for (size_t i = 0; i < sb->n_addrs; i++)
			free(sb->addrs[i].v);
		for (size_t i = 0; i < sb->n_routes; i++)
			free(sb->routes[i].v);
		sb->n_addrs = sb->n_routes = 0;
		sb->uplink[0] = '\0';
	}
}

void plan_release_port(const struct plan_input *in, struct plan *p,
		       const char *bridge, const struct saved_port *sp)
{
	const struct klink *l = plan_link(in, sp->name);
	const struct klink *br = plan_link(in, bridge);
	struct op *op, *undo;

	if (!l)
		return;
	if (br && l->master == br->index) {
		p->batches++;
		leave_bridge(p, bridge, l, sp->was_up);
	}
	if (!mac_equal(&sp->mac, &l->mac) || sp->mtu != l->mtu) {
		op = plan_add(p, OP_LINK_SET, CLASS_SET, bridge, sp->name,
			      "set %s's MAC address and MTU back", sp->name);
		op->set.has = LS_MAC | LS_MTU;
		op->set.mac = sp->mac;
		op->set.mtu = sp->mtu;
		undo = op_new(OP_LINK_SET, sp->name);
		undo->set = op->set;
		undo->set.mac = l->mac;
		undo->set.mtu = l->mtu;
		op_add_undo(op, undo);
	}
	enable_ipv6(in, p, l, false);
}

/* ---- taps and the bridge ----------------------------------------------- */

static bool listed(const struct plan_input *in, const struct klink *l,
		   const char *of)
{
	const struct port *port = model_port(in->m, l->name);
	const struct bridge *b = model_bridge(in->m, of);
	char ends[2][IFNAMSIZ];

	if (streq(l->kind, "tun"))
		return port && port->bridge && port->type == PORT_TAP;
	if (!b || !bridge_has_veth(b))
		return false;
	bridge_veth(b, ends[0], ends[1]);
	return streq(l->name, ends[0]) || streq(l->name, ends[1]);
}

/* Names of our taps and veths of a bridge that may go, into op's list; those that a
 * guest holds stay. Returns how many stay. */
static size_t collect_taps(const struct plan_input *in, struct plan *p,
			   const char *bridge, bool only_unlisted,
			   struct op *into)
{
	size_t kept = 0;

	for (size_t i = 0; i < in->k->n_links; i++) {
		const struct klink *l = &in->k->links[i];
		char of[IFNAMSIZ];

		if ((!streq(l->kind, "tun") && !streq(l->kind, "veth")) ||
		    !streq(klink_alias_bridge(l, of), bridge) ||
		    (only_unlisted && listed(in, l, bridge)))
			continue;
		if (!in->force && streq(l->kind, "tun") &&
		    in->tap_held(in->arg, l->name)) {
			plan_warn(p, "%s is kept: a running guest holds it "
				  "(--force removes it)", l->name);
			kept++;
			continue;
		}
		op_add_name(into, l->name);
	}
	return kept;
}

static void finish_delete(const struct plan_input *in, struct plan *p,
			  struct op *collected, const char *bridge)
{
	_cleanup_buf_ struct buf names = { 0 };
	struct op *op;

	for (size_t i = 0; i < collected->names.n; i++) {
		if (i == 8) {
			buf_printf(&names, " and %zu more",
				   collected->names.n - i);
			break;
		}
		buf_printf(&names, "%s%s", i ? ", " : "",
			   collected->names.v[i]);
	}
	if (collected->names.n) {
		op = plan_add(p, OP_LINK_DELETE, CLASS_DELETE, bridge,
			      collected->names.v[0], "remove %s",
			      buf_str(&names));
		op_drift(op, "exists", "absent", "present");
		op->names = collected->names;
		collected->names.v = NULL;
		plan_undo_delete(in, op);
	}
	op_free(collected);
}

void plan_remove_taps(const struct plan_input *in, struct plan *p,
		      const char *bridge, bool only_unlisted)
{
	struct op *collected = op_new(OP_LINK_DELETE, bridge);

	collect_taps(in, p, bridge, only_unlisted, collected);
	finish_delete(in, p, collected, bridge);
}

/* Ports that are neither ours nor borrowed keep the bridge alive. */
static size_t foreign_ports(const struct plan_input *in, struct plan *p,
			    const struct klink *br)
{
	const struct saved_bridge *sb = state_bridge(in->st, br->name);
	const struct klink *up = find_uplink(in, br->name);
	size_t n = 0;

	for (size_t i = 0; i < in->k->n_links; i++) {
		const struct klink *l = &in->k->links[i];

		if (l->master != br->index || l == up || klink_is_ours(l) ||
		    saved_port(sb, l->name))
			continue;
		plan_warn(p, "%s is kept: its port %s is not netbr's (--force "
			  "removes the bridge all the same)", br->name,
			  l->name);
		n++;
	}
	return n;
}

static bool firewall_planned(const struct plan *p, const char *bridge)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i]->kind == OP_FIREWALL &&
		    streq(p->v[i]->bridge, bridge))
			return true;
	return false;
}

void plan_remove_bridge(const struct plan_input *in, struct plan *p,
			const char *name, bool keep_listed)
{
	const struct klink *br = plan_link(in, name);
	struct saved_bridge *sb = state_bridge(in->st, name);
	struct op *collected = op_new(OP_LINK_DELETE, name);
	size_t kept;

	if (br && !klink_is_ours(br))
		br = NULL;	/* somebody else's: not touched */
	plan_dns_stop(in, p, name);
	kept = collect_taps(in, p, name, keep_listed, collected);
	if (br && !in->force)
		kept += foreign_ports(in, p, br);
	plan_old_proxies(in, p, name, sb, NULL);
	if (br || sb) {
		plan_release_uplink(in, p, name, kept, sb);
		for (size_t i = 0; sb && i < sb->n_ports; i++)
			plan_release_port(in, p, name, &sb->ports[i]);
	}
	if (br && kept && !find_uplink(in, name))
		take_addresses(in, p, name, br, sb);
	if (br && !kept)
		op_add_name(collected, name);
	finish_delete(in, p, collected, name);
	if (!firewall_planned(p, name))
		plan_firewall(in, p, NULL, name);
	plan_allmulti_off(in, p, name, sb);
	plan_firewalld(in, p, NULL, name, saved_has_note(sb, 'z', "trusted"));
	state_drop_bridge(in->st, name);
	plan_restore_sysctls(in, p);
}

void plan_down(const struct plan_input *in, struct plan *p)
{
	for (size_t i = 0; i < in->n_bridges; i++)
		plan_remove_bridge(in, p, in->bridges[i]->name, false);
	for (size_t i = 0; i < in->n_gone; i++)
		plan_remove_bridge(in, p, in->gone[i], false);
}
