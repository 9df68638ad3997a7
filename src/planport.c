/* Taps and other ports of a bridge. */
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "planpart.h"
#include "screen.h"

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
const char *plan_tap_anew(const struct plan_input *in,
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
	saved_append_note(state_add_bridge(in->st, b->name), 'n', port->name);
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

void plan_taps(const struct plan_input *in, struct plan *p,
	       const struct bridge *b)
{
	for (size_t i = 0; i < b->ports.n; i++) {
		const struct port *port = model_port(in->m,
						     b->ports.v[i].text);
		const struct klink *l = plan_link(in, port->name);

		if (port->type != PORT_TAP)
			continue;
		if (plan_tap_anew(in, port, l)) {
			const char *why = plan_tap_anew(in, port, l);
			struct op *op = plan_add(p, OP_LINK_DELETE,
						 CLASS_INTERRUPTS, b->name,
						 port->name, "remove tap %s, "
						 "to make it anew with %s",
						 port->name, why);
			op_add_name(op, port->name);
			op_drift(op, "tap", why, "otherwise");
			plan_undo_delete(in, op);
			plan_tap_create(in, p, b, port);
		} else if (!l) {
			plan_tap_create(in, p, b, port);
		} else if (klink_is_ours(l)) {
			plan_tap_owner(in, p, b, port, l);
		}
	}
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
	const char *master = plan_master(in, l);
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
	if ((w->has & LS_ALIAS) && !streq(w->alias, l->alias)) {
		/* until it is marked, the record says whose it is */
		saved_append_note(state_add_bridge(in->st, b->name), 'n',
				  l->name);
		plan_port_attr(p, b, l, w, LS_ALIAS, "alias", w->alias,
			       l->alias, master);
	}
	if (!streq(master, b->name))
		plan_port_attr(p, b, l, w, LS_MASTER, "master", b->name,
			       *master ? master : "none", master);
	if (!(l->flags & IFF_UP))
		plan_port_attr(p, b, l, w, LS_UP, "up", "up", "down", master);
}

/* What is sent to the bridge's own group addresses (BPDUs, LLDP) it hears, and
 * learns from, before any rule sees it. A filtered guest's frames to such
 * addresses therefore take the way of all others, past the rules. All but pause frames, which
 * the kernel never lets through (linux/if_bridge.h). */
#define GUEST_GROUP_FWD 0xfffd

static void flag_words(char out[16], bool on_off, uint16_t v)
{
	if (on_off)
		str_put(out, 16, v ? "on" : "off");
	else
		snprintf(out, 16, "0x%x", v);
}

static void plan_port_flags(struct plan *p, const struct bridge *b,
			    const struct port *port, const struct klink *l,
			    bool filters)
{
	const struct {
		unsigned int bit;
		const char *name;
		uint16_t want, have;
	} flags[] = {
		{ LS_ISOLATED, "isolated", port_isolated(port),
		  l && l->isolated },
		{ LS_GROUP_FWD, "group_fwd_mask",
		  filters ? GUEST_GROUP_FWD : 0, l ? l->group_fwd : 0 },
	};

	for (size_t i = 0; i < N_ELEMENTS(flags); i++) {
		char want[16], have[16];
		struct op *op, *undo;

		if (flags[i].want == flags[i].have)
			continue;
		flag_words(want, i == 0, flags[i].want);
		flag_words(have, i == 0, flags[i].have);
		op = plan_add(p, OP_LINK_SET, CLASS_SET, b->name, port->name,
			      "set %s %s %s", port->name, flags[i].name, want);
		op_drift(op, flags[i].name, want, have);
		op->set.has = flags[i].bit;
		op->set.isolated = flags[i].want;
		op->set.group_fwd = flags[i].want;
		if (!l)
			continue;
		undo = op_new(OP_LINK_SET, port->name);
		undo->set.has = flags[i].bit;
		undo->set.isolated = flags[i].have;
		undo->set.group_fwd = flags[i].have;
		op_add_undo(op, undo);
	}
}

/* Sets a v6 knob of a link that this very plan makes. */
struct op *plan_knob(struct plan *p, const struct bridge *b,
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
void plan_port_ipv6(const struct plan_input *in, struct plan *p,
		    const struct bridge *b, const char *name,
		    const struct klink *l, bool remember)
{
	_cleanup_free_ char *path = NULL;

	if (l && !remember && l->disable_ipv6)
		return;
	path = ifname_sysctl(AF_INET6, name, "disable_ipv6");
	if (!l)
		op_drift(plan_knob(p, b, name, "disable_ipv6", "1"), path,
			 "1", "absent");
	else
		plan_sysctl(in, p, b->name, path, "1", remember, false);
}

/* With ebtables a program on the tap sees what its rules can't. */
static void plan_screen(const struct plan_input *in, struct plan *p,
			const struct bridge *b, const struct port *port,
			const struct klink *l)
{
	const struct guest *g = port->guest;
	bool wants = g && guest_filtered(g) && streq(in->fw_backend,
						     "iptables");
	struct sock_filter *code = NULL;
	size_t len = wants ? screen_program(in->m, g, &code) *
			     sizeof(*code) : 0;
	struct op *op, *undo;

	if (len && in->no_screens) {
		free(code);
		return;
	}
	if (wants && !len)
		plan_warn(p, "guest '%s': too many IPv6 addresses of others to "
			  "look for in its neighbour discovery; give it an "
			  "IPv6 ip, or install nft", g->name);
	if (len)
		saved_append_note(state_add_bridge(in->st, b->name), 's',
				  port->name);
	if (len == (l ? l->screen_len : 0) &&
	    (!len || memcmp(code, l->screen, len) == 0)) {
		free(code);
		return;
	}
	op = plan_add(p, OP_SCREEN, CLASS_SET, b->name, port->name, len ?
		      "look into what %s sends" :
		      "no longer look into what %s sends", port->name);
	op_drift(op, "screen", len ? "as configured" : "none",
		 l && l->screen ? "another" : "none");
	op->code = (uint8_t *)code;
	op->code_len = len;
	op->may_fail = !len;
	if (!l)
		return;
	undo = op_new(OP_SCREEN, port->name);
	if (l->screen)
		op_copy_raw(&undo->code, &undo->code_len, l->screen,
			    l->screen_len);
	undo->may_fail = true;
	op_add_undo(op, undo);
}

static void rate_words(uint64_t bits, char out[32])
{
	if (bits)
		snprintf(out, 32, "%gmbit", (double)bits / 1e6);
	else
		str_put(out, 32, "none");
}

/* What goes to the guest is shaped on its tap. (What comes from it is limited
 * by a rule.) The kernel keeps whole bytes. */
static void plan_rate(const struct plan_input *in, struct plan *p,
		      const struct bridge *b, const struct port *port,
		      const struct klink *l)
{
	uint64_t want = port->guest ? port->guest->rate_in / 8 * 8 : 0;
	uint64_t have = l ? l->rate : 0;
	char w[32], h[32];
	struct op *op, *undo;

	if (want)
		saved_append_note(state_add_bridge(in->st, b->name), 'q',
				  port->name);
	if (want == have)
		return;
	rate_words(want, w);
	rate_words(have, h);
	op = plan_add(p, OP_RATE, CLASS_SET, b->name, port->name,
		      "set %s's rate_in to %s (was %s)", port->name, w, h);
	op_drift(op, "rate_in", w, h);
	op->rate = want;
	op->may_fail = !want;
	if (!l)
		return;
	undo = op_new(OP_RATE, port->name);
	undo->rate = have;
	undo->may_fail = !have;
	op_add_undo(op, undo);
}

/* One port: what is said of it over netlink, or (quiet) only what is not. */
static void plan_port(const struct plan_input *in, struct plan *p,
		      const struct bridge *b, const struct port *port,
		      bool quiet)
{
	const struct klink *l = plan_link(in, port->name);
	bool anew = port->type == PORT_TAP &&
		    (!l || plan_tap_anew(in, port, l));
	bool ours = anew || klink_is_ours(l);
	struct link_set w;

	if (anew)
		l = NULL;
	if (quiet) {
		if (!ours)
			save_port(in, b, l);
		plan_port_ipv6(in, p, b, port->name, l, !ours);
		return;
	}
	wanted_port(in, b, port, ours, &w);
	if (anew)
		plan_new_port(p, b, port, &w);
	else
		plan_old_port(in, p, b, l, &w);
	plan_port_flags(p, b, port, l, port->guest &&
			guest_filtered(port->guest) &&
			in->m->firewall != FW_NONE);
	plan_rate(in, p, b, port, l);
}

/* So many messages to a send: the kernel's lock is not held between them,
 * but we learn of a failure only afterwards. */
#define PORT_BATCH 64

void plan_ports(const struct plan_input *in, struct plan *p,
		const struct bridge *b)
{
	size_t first;

	for (size_t i = 0; i < b->ports.n; i++)
		plan_port(in, p, b, model_port(in->m, b->ports.v[i].text),
			  true);
	first = p->n;
	for (size_t i = 0; i < b->ports.n; i++)
		plan_port(in, p, b, model_port(in->m, b->ports.v[i].text),
			  false);
	for (size_t i = first; i < p->n; i++) {
		if ((i - first) % PORT_BATCH == 0)
			p->batches++;
		p->v[i]->batch = p->batches;
	}
	for (size_t i = 0; i < b->ports.n; i++) {
		const struct port *port = model_port(in->m,
						     b->ports.v[i].text);
		const struct klink *l = plan_link(in, port->name);

		if (port->type == PORT_TAP)
			plan_screen(in, p, b, port,
				    plan_tap_anew(in, port, l) ? NULL : l);
	}
}

/* foreign_ports = remove: ports that the config does not know leave. */
void plan_foreign_ports(const struct plan_input *in, struct plan *p,
			const struct bridge *b)
{
	const struct klink *br = plan_link(in, b->name);

	for (size_t i = 0; br && b->foreign_ports == FOREIGN_REMOVE &&
	     i < in->k->n_links; i++) {
		const struct klink *l = &in->k->links[i];
		struct op *op, *undo;

		if (l->master != br->index || klink_is_ours(l) ||
		    (b->uplink && streq(b->uplink, l->name)) ||
		    list_has(&b->ports, l->name))
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
