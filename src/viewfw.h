/* What the firewall templates may see of a bridge. */
#ifndef NETBR_VIEWFW_H
#define NETBR_VIEWFW_H

#include "model.h"
#include "tmpl.h"
#include "view.h"

/* Names everything that the nftables, iptables and ebtables templates use
 * beyond what the other templates see. uplink: its MAC, NULL if unknown. */
void view_firewall(struct view *v, const struct model *m,
		   const struct bridge *b, const struct facts *f,
		   const struct mac *uplink);

/* Does a second bridge filter too? Then each frame goes through the rules of
 * both. */
bool several_filter(const struct model *m);

#endif
