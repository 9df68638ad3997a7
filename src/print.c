/* The model back as a config: what netbr understood, defaults filled in. */
#include "model.h"

static void put_list(struct buf *out, const char *key, const struct list *l)
{
	buf_printf(out, "    %s = {", key);
	for (size_t i = 0; i < l->n; i++)
		buf_printf(out, "%s \"%s\"", i ? "," : "", l->v[i].text);
	buf_puts(out, " }\n");
}

static void put_opt_list(struct buf *out, const char *key,
			 const struct list *l)
{
	if (l->n)
		put_list(out, key, l);
}

static void put_bool(struct buf *out, const char *key, bool v)
{
	buf_printf(out, "    %s = %s\n", key, v ? "on" : "off");
}

static void put_text(struct buf *out, const char *key, const char *v)
{
	if (v)
		buf_printf(out, "    %s = \"%s\"\n", key, v);
}

static void put_time(struct buf *out, const char *key, unsigned long cs)
{
	char text[24];

	buf_printf(out, "    %s = %s\n", key,
		   time_cs_format(cs, text, sizeof(text)));
}

static void put_rate(struct buf *out, const char *key, uint64_t bits)
{
	if (bits)
		buf_printf(out, "    %s = %llu%s\n", key,
			   (unsigned long long)(bits % 1000000 ? bits % 1000 ?
			   bits : bits / 1000 : bits / 1000000),
			   bits % 1000000 ? bits % 1000 ? "bit" : "kbit" :
			   "mbit");
}

static void put_address(struct buf *out, const struct bridge *b)
{
	if (!b->address_dhcp && !b->address.n)
		return;
	buf_puts(out, "    address = {");
	if (b->address_dhcp)
		buf_puts(out, " dhcp");
	for (size_t i = 0; i < b->address.n; i++)
		buf_printf(out, "%s \"%s\"", i || b->address_dhcp ? "," : "",
			   b->address.v[i].text);
	buf_puts(out, " }\n");
}

static void put_dhcp(struct buf *out, const struct dhcp *d)
{
	if (!d->present)
		return;
	buf_puts(out, "\n    dhcp {\n");
	put_opt_list(out, "range", &d->range);
	put_text(out, "lease_time", d->lease_time);
	put_opt_list(out, "router", &d->router);
	put_opt_list(out, "dns", &d->dns);
	put_text(out, "domain", d->domain);
	put_opt_list(out, "options", &d->options);
	put_text(out, "server", server_names[d->server]);
	buf_puts(out, "    }\n");
}

static void put_bridge(struct buf *out, const struct bridge *b)
{
	char mac[MAC_TEXT];

	buf_printf(out, "\nbridge %s {\n", b->name);
	put_text(out, "mode", mode_names[b->mode]);
	put_text(out, "uplink", b->uplink);
	put_opt_list(out, "ports", &b->ports);
	put_address(out, b);
	put_opt_list(out, "gateway", &b->gateway);
	put_opt_list(out, "routes", &b->routes);
	put_text(out, "mac", b->mac_policy == MACP_UPLINK ? "uplink" :
		 b->mac_policy == MACP_STABLE ? "stable" :
		 mac_format(&b->mac, mac));
	if (b->mtu)
		buf_printf(out, "    mtu = %lu\n", b->mtu);
	put_bool(out, "stp", b->stp);
	put_time(out, "forward_delay", b->forward_delay_cs);
	put_time(out, "hello_time", b->hello_time_cs);
	put_time(out, "max_age", b->max_age_cs);
	put_time(out, "ageing_time", b->ageing_time_cs);
	buf_printf(out, "    priority = %lu\n", b->priority);
	put_bool(out, "nat", b->nat);
	put_bool(out, "filter", b->filter);
	put_bool(out, "isolate", b->isolate);
	put_opt_list(out, "coexist", &b->coexist);
	put_text(out, "foreign_ports", foreign_names[b->foreign_ports]);
	put_text(out, "host", host_names[b->host]);
	put_bool(out, "probe", b->probe);
	put_dhcp(out, &b->dhcp);
	buf_puts(out, "}\n");
}

static void put_guest(struct buf *out, const struct guest *g)
{
	char mac[MAC_TEXT];

	buf_printf(out, "\nguest %s {\n", g->name);
	if (g->bridge)
		put_text(out, "bridge", g->bridge->name);
	put_text(out, "tap", g->tap ? g->tap : "none");
	if (g->has_mac)
		put_text(out, "mac", mac_format(&g->mac, mac));
	put_opt_list(out, "ip", &g->ip);
	put_text(out, "hostname", g->hostname);
	put_text(out, "owner", g->owner);
	put_text(out, "group", g->group);
	buf_printf(out, "    queues = %lu\n", g->queues);
	put_bool(out, "vnet_hdr", g->vnet_hdr);
	put_text(out, "model", nic_names[g->model]);
	put_opt_list(out, "forward", &g->forward);
	put_bool(out, "filter", g->filter);
	put_bool(out, "isolate", g->isolate);
	put_rate(out, "rate_in", g->rate_in);
	put_rate(out, "rate_out", g->rate_out);
	buf_puts(out, "}\n");
}

/* Of a guest's tap only what the guest does not say. */
static void put_port(struct buf *out, const struct port *p)
{
	char mac[MAC_TEXT];
	bool implied = p->guest || (p->type == PORT_EXISTING) ||
		       str_begins(p->name, "tap");

	if (implied && !p->has_mac && !p->mtu &&
	    (p->guest || (!p->owner && !p->group && p->queues == 1 &&
			  !p->vnet_hdr)))
		return;	/* its place in `ports` says it all */
	buf_printf(out, "\ninterface %s {\n", p->name);
	put_text(out, "type", port_type_names[p->type]);
	if (p->bridge && !p->guest)
		put_text(out, "bridge", p->bridge->name);
	if (p->has_mac)
		put_text(out, "mac", mac_format(&p->mac, mac));
	if (p->mtu)
		buf_printf(out, "    mtu = %lu\n", p->mtu);
	if (!p->guest) {
		put_text(out, "owner", p->owner);
		put_text(out, "group", p->group);
		if (p->type == PORT_TAP) {
			buf_printf(out, "    queues = %lu\n", p->queues);
			put_bool(out, "vnet_hdr", p->vnet_hdr);
		}
	}
	buf_puts(out, "}\n");
}

void model_print(const struct model *m, struct buf *out)
{
	buf_puts(out, "# netbr's understanding of its configuration\n");
	buf_printf(out, "firewall = %s\n", firewall_names[m->firewall]);
	for (size_t i = 0; i < m->n_bridges; i++)
		put_bridge(out, m->bridges[i]);
	for (size_t i = 0; i < m->n_guests; i++)
		put_guest(out, m->guests[i]);
	for (size_t i = 0; i < m->n_ports; i++)
		put_port(out, m->ports[i]);
}
