/* macnat where the uplink can't be a port (a Wi-Fi station, a bridge): a pair
 * of veths. One end is the bridge's port; between the other one and the
 * uplink a table of nftables carries each frame over, translated. */
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "planpart.h"

static struct op *veth_undo(const char *port)
{
	struct op *undo = op_new(OP_LINK_DELETE, port);

	op_add_name(undo, port);
	undo->may_fail = true;
	return undo;
}

static void plan_veth_create(const struct plan_input *in, struct plan *p,
			     const struct bridge *b, const char *port,
			     const char *outer)
{
	struct op *op = plan_add(p, OP_VETH_CREATE, CLASS_CREATE, b->name,
				 port, "create veths %s and %s", port, outer);

	op_drift(op, "exists", "veth", "absent");
	str_put(op->peer, sizeof(op->peer), outer);
	op_add_undo(op, veth_undo(port));
	saved_append_note(state_add_bridge(in->st, b->name), 'n', port);
	saved_append_note(state_add_bridge(in->st, b->name), 'n', outer);
}

/* What one end should be. */
static void wanted_end(const struct plan_input *in, const struct bridge *b,
		       bool is_port, struct link_set *w)
{
	uint32_t mtu = want_bridge_mtu(in, b);

	*w = (struct link_set){ .has = LS_UP | LS_ALIAS | LS_MTU, .up = true,
				.noarp = true, .mtu = mtu ? mtu : 1500 };
	snprintf(w->alias, sizeof(w->alias), "netbr %s", b->name);
	w->has |= is_port ? LS_MASTER : LS_NOARP;
	str_put(w->master, sizeof(w->master), b->name);
}

/* One attribute of an end that is there already. */
static void plan_end_attr(struct plan *p, const struct bridge *b,
			  const struct klink *l, const struct link_set *w,
			  unsigned int bit, const char *attr, const char *want,
			  const char *have, const char *master)
{
	struct op *op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, l->name,
				 "set %s %s to %s (was %s)", l->name, attr,
				 want, have);
	struct op *undo = op_new(OP_LINK_SET, l->name);

	op_drift(op, attr, want, have);
	op->set = *w;
	op->set.has = bit;
	undo->set.has = bit;
	undo->set.mtu = l->mtu;
	undo->set.up = l->flags & IFF_UP;
	undo->set.noarp = l->flags & IFF_NOARP;
	str_put(undo->set.alias, sizeof(undo->set.alias), l->alias);
	str_put(undo->set.master, IFNAMSIZ, master);
	op_add_undo(op, undo);
}

static void plan_end(const struct plan_input *in, struct plan *p,
		     const struct bridge *b, const char *name,
		     const struct klink *l, bool is_port)
{
	const char *master = l ? plan_master(in, l) : "";
	char want[24], have[24];
	struct link_set w;

	plan_port_ipv6(in, p, b, name, l, false);
	wanted_end(in, b, is_port, &w);
	if (!l) {
		plan_add(p, OP_LINK_SET, CLASS_SET, b->name, name, is_port ?
			 "add %s to %s" : "set %s up", name, b->name)->set = w;
		return;
	}
	if (!streq(l->alias, w.alias))
		plan_end_attr(p, b, l, &w, LS_ALIAS, "alias", w.alias,
			      l->alias, master);
	snprintf(want, sizeof(want), "%u", w.mtu);
	snprintf(have, sizeof(have), "%u", l->mtu);
	if (w.mtu != l->mtu)
		plan_end_attr(p, b, l, &w, LS_MTU, "mtu", want, have, master);
	if (is_port && !streq(master, b->name))
		plan_end_attr(p, b, l, &w, LS_MASTER, "master", b->name,
			      *master ? master : "none", master);
	if (!is_port && !(l->flags & IFF_NOARP))
		plan_end_attr(p, b, l, &w, LS_NOARP, "arp", "off", "on",
			      master);
	if (!(l->flags & IFF_UP))
		plan_end_attr(p, b, l, &w, LS_UP, "up", "up", "down", master);
}

/* Groups that only guests are members of must be received too. */
static void plan_allmulti(const struct plan_input *in, struct plan *p,
			  const struct bridge *b, const struct klink *up,
			  bool ours)
{
	struct op *op, *undo;

	if (!up)
		return;
	if (!(up->flags & IFF_ALLMULTI) || ours)
		saved_append_note(state_add_bridge(in->st, b->name), 'm',
				  up->name);
	if (up->flags & IFF_ALLMULTI)
		return;
	op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, up->name,
		      "let %s receive all multicast", up->name);
	op_drift(op, "allmulticast", "on", "off");
	op->set.has = LS_ALLMULTI;
	op->set.allmulti = true;
	undo = op_new(OP_LINK_SET, up->name);
	undo->set.has = LS_ALLMULTI;
	op_add_undo(op, undo);
}

void plan_veth(const struct plan_input *in, struct plan *p,
	       const struct bridge *b, const struct saved_bridge *before)
{
	const struct klink *up = plan_link(in, b->uplink);
	const struct klink *inner, *outer;
	char port[IFNAMSIZ], other[IFNAMSIZ];

	bridge_veth(b, port, other);
	inner = plan_link(in, port);
	outer = plan_link(in, other);
	if (!inner || !outer) {
		plan_veth_create(in, p, b, port, other);
		inner = outer = NULL;
	}
	plan_end(in, p, b, other, outer, false);
	plan_end(in, p, b, port, inner, true);
	plan_allmulti(in, p, b, up, up && saved_has_note(before, 'm',
							 up->name));
}

void plan_veth_refusals(const struct plan_input *in, struct plan *p,
			const struct bridge *b)
{
	char names[2][IFNAMSIZ];

	bridge_veth(b, names[0], names[1]);
	if (!plan_link(in, names[0]) && in->missing) {
		_cleanup_free_ char *option = in->missing(in->arg, b);

		if (option)
			plan_refuse(p, "%s: mode macnat needs a kernel with "
				    "%s for %s, which can't be a port; use "
				    "mode = proxyarp or routed, or wds where "
				    "the access point speaks it", b->name,
				    option, b->uplink);
	}
	for (int i = 0; i < 2; i++) {
		const struct klink *l = plan_link(in, names[i]);

		if (l && !klink_is_ours(l))
			plan_refuse(p, "%s exists, but netbr did not make it: "
				    "%s needs the name; rename it, or the "
				    "bridge", names[i], b->name);
	}
}

void plan_allmulti_off(const struct plan_input *in, struct plan *p,
		       const char *bridge, const struct saved_bridge *sb)
{
	for (size_t i = 0; sb && i < sb->n_added; i++) {
		const struct klink *l = sb->added[i][0] != 'm' ? NULL :
					plan_link(in, sb->added[i] + 2);
		struct op *op, *undo;

		if (!l || !(l->flags & IFF_ALLMULTI))
			continue;
		op = plan_add(p, OP_LINK_SET, CLASS_SET, bridge, l->name,
			      "let %s receive only its own multicast",
			      l->name);
		op->set.has = LS_ALLMULTI;
		undo = op_new(OP_LINK_SET, l->name);
		undo->set.has = LS_ALLMULTI;
		undo->set.allmulti = true;
		op_add_undo(op, undo);
	}
}
