/* What brings back a link that a plan deletes: so that a later step that
 * fails, or a try that nobody confirms, finds everything as it was. */
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "planpart.h"

/* Undo steps are run in the order of their list, and op_add_undo() puts each
 * new one first: they are collected here, and handed over last to first. */
struct steps {
	struct op **v;
	size_t n;
};

static struct op *step(struct steps *s, enum op_kind kind, const char *object)
{
	struct op *op = op_new(kind, object);

	op->may_fail = true;
	ARRAY_GROW(s->v, s->n);
	return s->v[s->n++] = op;
}

static void hand_over(struct steps *s, struct op *op)
{
	for (size_t i = s->n; i-- > 0;)
		op_add_undo(op, s->v[i]);
	free(s->v);
}

static void step_knob(const struct plan_input *in, struct steps *s,
		      const char *link, const char *knob)
{
	char *path = ifname_sysctl(AF_INET6, link, knob);
	char *have = in->sysctl(in->arg, path);
	struct op *op;

	if (!have) {
		free(path);
		return;
	}
	op = step(s, OP_SYSCTL, "");
	op->path = path;
	op->value = have;
}

/* STP comes last: ports that join without it forward at once. */
static void bridge_steps(const struct plan_input *in, struct steps *s,
			 const struct klink *l)
{
	static const char *const knobs[] = { "accept_ra", "autoconf",
					     "accept_dad", "disable_ipv6" };
	struct op *op = step(s, OP_BRIDGE_CREATE, l->name);

	op->set.has = LS_BRIDGE_BITS | LS_MAC;
	op->set.br = l->br;
	op->set.br.stp = false;
	op->set.mac = l->mac;
	op = step(s, OP_LINK_SET, l->name);
	op->set.has = LS_ALIAS | LS_MTU;
	op->set.mtu = l->mtu;
	str_put(op->set.alias, sizeof(op->set.alias), l->alias);
	for (size_t i = 0; i < N_ELEMENTS(knobs); i++)
		step_knob(in, s, l->name, knobs[i]);
	for (size_t i = 0; i < in->k->n_addrs; i++) {
		const struct kaddr *a = &in->k->addrs[i];

		if (a->index != l->index || ip_is_linklocal6(&a->c.ip))
			continue;
		op = step(s, OP_ADDR_ADD, l->name);
		op->addr.c = a->c;
		op_copy_raw(&op->addr.raw, &op->addr.raw_len, a->raw,
			    a->raw_len);
	}
	op = step(s, OP_LINK_SET, l->name);
	op->set.has = LS_UP;
	op->set.up = l->flags & IFF_UP;
}

static void bridge_late_steps(const struct plan_input *in, struct steps *s,
			      const struct klink *l)
{
	struct op *op = step(s, OP_LINK_SET, l->name);

	op->set.has = LS_STP;
	op->set.br = l->br;
	for (size_t i = 0; i < in->k->n_routes; i++) {
		const struct kroute *r = &in->k->routes[i];

		if (r->oif != l->index || r->protocol == RTPROT_KERNEL ||
		    r->type != RTN_UNICAST || r->multipath)
			continue;
		op_set_route(step(s, OP_ROUTE_ADD, l->name), r, false);
	}
}

static void tap_steps(const struct plan_input *in, struct steps *s,
		      const struct klink *l)
{
	struct op *op = step(s, OP_TAP_CREATE, l->name);

	op->tun = l->tun;
	op->queues = l->tun.multi_queue ? 2 : 1;
	if (l->disable_ipv6)
		step_knob(in, s, l->name, "disable_ipv6");
	op = step(s, OP_LINK_SET, l->name);
	op->set.has = LS_MAC | LS_MTU | LS_UP | LS_MASTER;
	op->set.mac = l->mac;
	op->set.mtu = l->mtu;
	op->set.up = l->flags & IFF_UP;
	str_put(op->set.master, IFNAMSIZ, plan_master(in, l));
	op = step(s, OP_LINK_SET, l->name);
	op->set.has = LS_ALIAS | (l->isolated ? LS_ISOLATED : 0) |
		      (l->group_fwd ? LS_GROUP_FWD : 0);
	op->set.isolated = true;
	op->set.group_fwd = l->group_fwd;
	str_put(op->set.alias, sizeof(op->set.alias), l->alias);
}

/* Both ends are deleted with one: the first of the two makes them again. */
static void veth_steps(const struct plan_input *in, struct steps *s,
		       const struct klink *l, const char *peer)
{
	struct op *op;

	if (peer)
		str_put(step(s, OP_VETH_CREATE, l->name)->peer, IFNAMSIZ,
			peer);
	if (l->disable_ipv6)
		step_knob(in, s, l->name, "disable_ipv6");
	op = step(s, OP_LINK_SET, l->name);
	op->set.has = LS_ALIAS | LS_MAC | LS_MTU | LS_UP | LS_MASTER |
		      LS_NOARP;
	op->set.mac = l->mac;
	op->set.mtu = l->mtu;
	op->set.up = l->flags & IFF_UP;
	op->set.noarp = l->flags & IFF_NOARP;
	str_put(op->set.alias, sizeof(op->set.alias), l->alias);
	str_put(op->set.master, IFNAMSIZ, plan_master(in, l));
}

void plan_undo_delete(const struct plan_input *in, struct op *op)
{
	struct steps s = { 0 };
	const struct klink *l;

	const char *peer = NULL;

	for (size_t i = 0; i < op->names.n; i++) {
		l = plan_link(in, op->names.v[i]);
		if (l && streq(l->kind, "veth"))
			peer = l->name;
	}
	for (int pass = 0; pass < 3; pass++)
		for (size_t i = 0; i < op->names.n; i++) {
			l = plan_link(in, op->names.v[i]);
			if (!l)
				continue;
			if (pass == 0 && streq(l->kind, "bridge"))
				bridge_steps(in, &s, l);
			if (pass == 1 && streq(l->kind, "tun"))
				tap_steps(in, &s, l);
			if (pass == 1 && streq(l->kind, "veth")) {
				veth_steps(in, &s, l, peer);
				peer = NULL;
			}
			if (pass == 2 && streq(l->kind, "bridge"))
				bridge_late_steps(in, &s, l);
		}
	hand_over(&s, op);
}
