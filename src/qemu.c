#include "qemu.h"

bool qemu_arguments(const struct model *m, const struct guest *g,
		    struct buf *out)
{
	const struct port *p = g->tap ? model_port(m, g->tap) : NULL;
	char mac[MAC_TEXT];

	if (!p || !g->has_mac) {
		msg_error("guest '%s' needs a %s for this: add %s", g->name,
			  p ? "MAC address" : "tap",
			  p ? "mac = 52:54:00:..:..:.." : "tap = NAME");
		return false;
	}
	buf_printf(out, "-netdev tap,id=%s,ifname=%s,script=no,"
		   "downscript=no", g->name, p->name);
	if (p->queues > 1)
		buf_printf(out, ",queues=%lu", p->queues);
	buf_printf(out, ",vnet_hdr=%s", p->vnet_hdr ? "on" : "off");
	buf_printf(out, " -device %s,netdev=%s,mac=%s", nic_names[g->model],
		   g->name, mac_format(&g->mac, mac));
	if (g->model == NIC_VIRTIO && p->queues > 1)
		buf_printf(out, ",mq=on,vectors=%lu", 2 * p->queues + 2);
	if (g->model == NIC_VIRTIO && (p->mtu || p->bridge->mtu))
		buf_printf(out, ",host_mtu=%lu",
			   p->mtu ? p->mtu : p->bridge->mtu);
	buf_puts(out, "\n");
	return true;
}
