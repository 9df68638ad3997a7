/* What the firewall templates may see of a bridge. */
#ifndef NETBR_VIEWFW_H
#define NETBR_VIEWFW_H

#include "model.h"
#include "tmpl.h"

/* Names everything that the nftables, iptables and ebtables templates use
 * beyond what the other templates see. uplink: its MAC, NULL if unknown. */
void view_firewall(struct view *v, const struct model *m,
		   const struct bridge *b, const struct mac *uplink);

#endif
