/* wds: a Wi-Fi station in 4-address mode can be a port, where its access
 * point takes such frames. */
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "planpart.h"

static struct op *four_op(struct plan *p, const char *bridge,
			  const char *uplink, bool on)
{
	struct op *op = plan_add(p, OP_4ADDR, CLASS_SET, bridge, uplink,
				 "switch %s's 4-address mode %s", uplink,
				 on ? "on" : "off");
	struct op *undo = op_new(OP_4ADDR, uplink);

	op_drift(op, "4addr", on ? "on" : "off", on ? "off" : "on");
	op->hold = on;
	op->may_fail = !on;
	undo->hold = !on;
	undo->may_fail = true;
	op_add_undo(op, undo);
	return op;
}

/* The router of the LAN, over the uplink: somebody who is there. */
static const struct ip *gateway_of(const struct plan_input *in,
				   const struct klink *up)
{
	for (size_t i = 0; i < in->k->n_routes; i++) {
		const struct kroute *r = &in->k->routes[i];

		if (r->oif == up->index && r->family == AF_INET &&
		    !r->dst.plen && r->gw.family == AF_INET)
			return &r->gw;
	}
	return NULL;
}

void plan_wds(const struct plan_input *in, struct plan *p,
	      const struct bridge *b, const struct klink *up,
	      const struct saved_bridge *before)
{
	const struct ip *gw;
	char text[IP_TEXT];
	struct op *op;

	if (bridge_mode(b) != MODE_WDS || !up)
		return;
	if (!b->four || saved_has_note(before, 'w', up->name))
		saved_append_note(state_add_bridge(in->st, b->name), 'w',
				  up->name);
	if (b->four)
		return;
	four_op(p, b->name, up->name, true);
	gw = gateway_of(in, up);
	if (!gw || !(up->flags & KLINK_LOWER_UP)) {
		plan_warn(p, "%s has %s yet: whether the access point takes "
			  "4-address frames shows only when guests are silent",
			  up->name, gw ? "no access point" : "no gateway");
		return;
	}
	op = plan_add(p, OP_ASK, CLASS_SET, b->name, up->name,
		      "see whether %s answers through the access point",
		      ip_format(gw, text));
	op->server = *gw;
}

void plan_wds_off(struct plan *p, const char *bridge, const struct klink *up,
		  const struct saved_bridge *before)
{
	if (!saved_has_note(before, 'w', up->name))
		return;
	four_op(p, bridge, up->name, false);
	/* an access point goes on with 4 addresses until the station joins
	 * anew; its supplicant does that when the link comes up */
	plan_set_up(p, bridge, up->name, false, true);
	plan_set_up(p, bridge, up->name, true, true);
}
