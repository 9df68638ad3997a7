#include "nldump.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wifi.h"

/* linux/if_link.h, since 4.16; not in all installed headers */
enum { TUN_OWNER = 1, TUN_GROUP, TUN_TYPE, TUN_PI, TUN_VNET_HDR, TUN_PERSIST,
       TUN_MULTI_QUEUE, TUN_MAX = 16 };
#define TUN_TYPE_TAP 2

static uint32_t get_u32(struct nlattr *a, uint32_t otherwise)
{
	return a && nla_len(a) >= 4 ? nla_get_u32(a) : otherwise;
}

static bool get_bool(struct nlattr *a)
{
	if (!a || nla_len(a) < 1)
		return false;
	return nla_len(a) >= 4 ? nla_get_u32(a) : nla_get_u8(a);
}

static void parse_bridge(struct klink *l, struct nlattr *data)
{
	struct nlattr *a[IFLA_BR_MAX + 1];

	if (nla_parse_nested(a, IFLA_BR_MAX, data, NULL) < 0)
		return;
	l->br = (struct kbridge){
		.forward_delay = get_u32(a[IFLA_BR_FORWARD_DELAY], 0),
		.hello_time = get_u32(a[IFLA_BR_HELLO_TIME], 0),
		.max_age = get_u32(a[IFLA_BR_MAX_AGE], 0),
		.ageing_time = get_u32(a[IFLA_BR_AGEING_TIME], 0),
		.stp = get_u32(a[IFLA_BR_STP_STATE], 0),
		.snooping = get_bool(a[IFLA_BR_MCAST_SNOOPING]),
	};
	if (a[IFLA_BR_PRIORITY])
		l->br.priority = nla_get_u16(a[IFLA_BR_PRIORITY]);
}

static void parse_tun(struct klink *l, struct nlattr *data)
{
	struct nlattr *a[TUN_MAX + 1];

	if (nla_parse_nested(a, TUN_MAX, data, NULL) < 0)
		return;
	l->tun = (struct ktun){
		.is_tap = a[TUN_TYPE] && nla_get_u8(a[TUN_TYPE]) ==
			  TUN_TYPE_TAP,
		.persist = get_bool(a[TUN_PERSIST]),
		.vnet_hdr = get_bool(a[TUN_VNET_HDR]),
		.multi_queue = get_bool(a[TUN_MULTI_QUEUE]),
		.owner = get_u32(a[TUN_OWNER], KFOREVER),
		.group = get_u32(a[TUN_GROUP], KFOREVER),
	};
}

static void parse_port(struct klink *l, struct nlattr *data)
{
	struct nlattr *a[IFLA_BRPORT_MAX + 1];

	if (nla_parse_nested(a, IFLA_BRPORT_MAX, data, NULL) < 0)
		return;
	l->isolated = get_bool(a[IFLA_BRPORT_ISOLATED]);
	l->group_fwd = a[IFLA_BRPORT_GROUP_FWD_MASK] ?
		       nla_get_u16(a[IFLA_BRPORT_GROUP_FWD_MASK]) : 0;
	l->port_state = a[IFLA_BRPORT_STATE] ?
			nla_get_u8(a[IFLA_BRPORT_STATE]) : 0;
}

static void parse_info(struct klink *l, struct nlattr *info)
{
	struct nlattr *a[IFLA_INFO_MAX + 1];

	l->tun.owner = l->tun.group = KFOREVER;
	if (!info || nla_parse_nested(a, IFLA_INFO_MAX, info, NULL) < 0)
		return;
	if (a[IFLA_INFO_KIND])
		nla_strlcpy(l->kind, a[IFLA_INFO_KIND], sizeof(l->kind));
	if (a[IFLA_INFO_DATA] && streq(l->kind, "bridge"))
		parse_bridge(l, a[IFLA_INFO_DATA]);
	if (a[IFLA_INFO_DATA] && streq(l->kind, "tun"))
		parse_tun(l, a[IFLA_INFO_DATA]);
	if (a[IFLA_INFO_SLAVE_DATA] && a[IFLA_INFO_SLAVE_KIND] &&
	    streq(nla_get_string(a[IFLA_INFO_SLAVE_KIND]), "bridge"))
		parse_port(l, a[IFLA_INFO_SLAVE_DATA]);
}

/* net.ipv6.conf.IF.disable_ipv6, which the link dump carries along:
 * IFLA_AF_SPEC / AF_INET6 / IFLA_INET6_CONF[DEVCONF_DISABLE_IPV6]. */
static void parse_af_spec(struct klink *l, struct nlattr *spec)
{
	struct nlattr *af[AF_INET6 + 1], *in6[IFLA_INET6_MAX + 1];

	if (!spec || nla_parse_nested(af, AF_INET6, spec, NULL) < 0 ||
	    !af[AF_INET6] ||
	    nla_parse_nested(in6, IFLA_INET6_MAX, af[AF_INET6], NULL) < 0 ||
	    !in6[IFLA_INET6_CONF])
		return;
	if (nla_len(in6[IFLA_INET6_CONF]) >
	    (int)(DEVCONF_DISABLE_IPV6 * sizeof(int32_t)))
		l->disable_ipv6 = ((int32_t *)nla_data(
			in6[IFLA_INET6_CONF]))[DEVCONF_DISABLE_IPV6];
}

static void parse_stats(struct klink *l, struct nlattr *a)
{
	struct rtnl_link_stats64 s = { 0 };

	if (!a || nla_len(a) < (int)offsetof(struct rtnl_link_stats64,
					     multicast))
		return;
	memcpy(&s, nla_data(a), (size_t)nla_len(a) < sizeof(s) ?
	       (size_t)nla_len(a) : sizeof(s));
	l->rx_packets = s.rx_packets;
	l->tx_packets = s.tx_packets;
	l->rx_bytes = s.rx_bytes;
	l->tx_bytes = s.tx_bytes;
	l->rx_dropped = s.rx_dropped;
	l->tx_dropped = s.tx_dropped;
}

static void on_link(struct nlmsghdr *h, void *arg)
{
	struct ifinfomsg *i = nlmsg_data(h);
	struct nlattr *a[IFLA_MAX + 1];
	struct klink l = { .index = i->ifi_index, .flags = i->ifi_flags,
			   .ethernet = i->ifi_type == ARPHRD_ETHER };
	char alias[256] = "";

	if (h->nlmsg_type != RTM_NEWLINK || i->ifi_family != AF_UNSPEC ||
	    nlmsg_parse(h, sizeof(*i), a, IFLA_MAX, NULL) < 0 ||
	    !a[IFLA_IFNAME])
		return;
	nla_strlcpy(l.name, a[IFLA_IFNAME], sizeof(l.name));
	if (a[IFLA_IFALIAS])
		nla_strlcpy(alias, a[IFLA_IFALIAS], sizeof(alias));
	l.alias = alias;
	l.master = get_u32(a[IFLA_MASTER], 0);
	l.mtu = get_u32(a[IFLA_MTU], 0);
	l.group = get_u32(a[IFLA_GROUP], 0);
	if (a[IFLA_ADDRESS] && nla_len(a[IFLA_ADDRESS]) == 6)
		memcpy(l.mac.b, nla_data(a[IFLA_ADDRESS]), 6);
	parse_info(&l, a[IFLA_LINKINFO]);
	parse_af_spec(&l, a[IFLA_AF_SPEC]);
	parse_stats(&l, a[IFLA_STATS64]);
	if (l.ethernet && !*l.kind)
		l.wireless = wifi_has_phy(l.name, l.index);
	kstate_add_link(arg, &l);
}

static void on_addr(struct nlmsghdr *h, void *arg)
{
	struct kaddr k;

	if (h->nlmsg_type == RTM_NEWADDR &&
	    kaddr_parse(&k, nlmsg_data(h), nlmsg_datalen(h)))
		kstate_add_addr(arg, &k);
}

static void on_route(struct nlmsghdr *h, void *arg)
{
	struct kroute r;

	if (h->nlmsg_type == RTM_NEWROUTE &&
	    kroute_parse(&r, nlmsg_data(h), nlmsg_datalen(h)))
		kstate_add_route(arg, &r);
}

static void on_neigh(struct nlmsghdr *h, void *arg)
{
	struct kneigh n;

	if (h->nlmsg_type == RTM_NEWNEIGH &&
	    kneigh_parse(&n, nlmsg_data(h), nlmsg_datalen(h)))
		kstate_add_neigh(arg, &n);
}

static void again_neighs(void *arg)
{
	struct kstate *k = arg;

	k->n_neighs = 0;
	free(k->neighs);
	k->neighs = NULL;
}

static void again_links(void *arg)
{
	kstate_free(arg);
}

static void again_addrs(void *arg)
{
	struct kstate *k = arg;

	for (size_t i = 0; i < k->n_addrs; i++)
		free(k->addrs[i].raw);
	free(k->addrs);
	k->addrs = NULL;
	k->n_addrs = 0;
}

static void again_routes(void *arg)
{
	struct kstate *k = arg;

	for (size_t i = 0; i < k->n_routes; i++)
		free(k->routes[i].raw);
	free(k->routes);
	k->routes = NULL;
	k->n_routes = 0;
}

static struct nl_msg *request(int type, void *head, size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, 0);

	if (!msg || nlmsg_append(msg, head, len, NLMSG_ALIGNTO) < 0)
		abort();
	return msg;
}

/* All but the links. */
static int dump_rest(struct nlx *nl, struct kstate *k)
{
	struct ifaddrmsg addr = { .ifa_family = AF_UNSPEC };
	struct rtmsg route = { .rtm_family = AF_UNSPEC };
	struct ndmsg neigh = { .ndm_family = AF_UNSPEC };
	int rc;

	rc = nlx_dump(nl, request(RTM_GETADDR, &addr, sizeof(addr)), on_addr,
		      again_addrs, k);
	if (rc == 0)
		rc = nlx_dump(nl, request(RTM_GETROUTE, &route, sizeof(route)),
			     on_route, again_routes, k);
	if (rc == 0)
		rc = nlx_dump(nl, request(RTM_GETNEIGH, &neigh, sizeof(neigh)),
			      on_neigh, again_neighs, k);
	return rc;
}

int nldump_all(struct nlx *nl, struct kstate *k)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	int rc;

	rc = nlx_dump(nl, request(RTM_GETLINK, &link, sizeof(link)), on_link,
		     again_links, k);
	if (rc == 0)
		rc = dump_rest(nl, k);
	if (rc < 0)
		kstate_free(k);
	return rc;
}

int nldump_again(struct nlx *nl, struct kstate *k, const struct list *names)
{
	struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	struct kstate new = { 0 };
	int rc = 0;

	for (size_t i = 0; i < k->n_links; i++) {
		struct klink *l = &k->links[i];

		if (list_has(names, l->name))
			continue;
		kstate_add_link(&new, l);
		l->screen = NULL;	/* the copy has it */
	}
	for (size_t i = 0; rc == 0 && i < names->n; i++) {
		struct nl_msg *msg = request(RTM_GETLINK, &link, sizeof(link));

		nla_put_string(msg, IFLA_IFNAME, names->v[i].text);
		rc = nlx_get(nl, msg, on_link, &new);
		if (rc == -ENODEV)
			rc = 0;
	}
	if (rc == 0)
		rc = dump_rest(nl, &new);
	kstate_free(k);
	if (rc < 0)
		kstate_free(&new);
	*k = new;
	return rc;
}

static void on_proxy(struct nlmsghdr *h, void *arg)
{
	struct ndmsg *m = nlmsg_data(h);
	struct nlattr *a[NDA_MAX + 1];
	struct ip ip = { .family = m->ndm_family };

	if (h->nlmsg_type != RTM_NEWNEIGH || !(m->ndm_flags & NTF_PROXY) ||
	    nlmsg_parse(h, sizeof(*m), a, NDA_MAX, NULL) < 0 || !a[NDA_DST] ||
	    nla_len(a[NDA_DST]) != (int)ip_bits(&ip) / 8)
		return;
	memcpy(ip.b, nla_data(a[NDA_DST]), nla_len(a[NDA_DST]));
	kstate_add_proxy(arg, m->ndm_ifindex, &ip);
}

static void again_proxies(void *arg)
{
	((struct kstate *)arg)->n_proxies = 0;
}

int nldump_proxies(struct nlx *nl, struct kstate *k)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int rc = 0;

	for (size_t i = 0; i < 2 && rc == 0; i++) {
		struct ndmsg m = { .ndm_family = families[i],
				   .ndm_flags = NTF_PROXY };

		rc = nlx_dump(nl, request(RTM_GETNEIGH, &m, sizeof(m)),
			      on_proxy, i ? NULL : again_proxies, k);
	}
	return rc;
}

struct settled {
	int index;
	bool no;
};

static void on_tentative(struct nlmsghdr *h, void *arg)
{
	struct settled *s = arg;
	struct kaddr a;

	if (h->nlmsg_type == RTM_NEWADDR &&
	    kaddr_parse(&a, nlmsg_data(h), nlmsg_datalen(h)) &&
	    a.index == s->index)
		s->no |= (a.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) ==
			 IFA_F_TENTATIVE;
}

static void again_settled(void *arg)
{
	((struct settled *)arg)->no = false;
}

bool nldump_settled(struct nlx *nl, int index)
{
	struct ifaddrmsg addr = { .ifa_family = AF_INET6 };
	struct settled s = { .index = index };

	return nlx_dump(nl, request(RTM_GETADDR, &addr, sizeof(addr)),
			on_tentative, again_settled, &s) < 0 || !s.no;
}

/* linux/pkt_sched.h: TCA_TBF_PARMS holds the rate in bytes a second, or, past
 * 32 bits, TCA_TBF_RATE64 does. */
static void on_qdisc(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[TCA_MAX + 1], *o[TCA_TBF_MAX + 1];
	struct tcmsg *t = nlmsg_data(h);
	struct kstate *k = arg;
	uint64_t bytes = 0;

	if (h->nlmsg_type != RTM_NEWQDISC || t->tcm_handle != KQDISC_HANDLE ||
	    nlmsg_parse(h, sizeof(*t), a, TCA_MAX, NULL) < 0 ||
	    !a[TCA_OPTIONS] || !a[TCA_KIND] ||
	    !streq(nla_get_string(a[TCA_KIND]), "tbf") ||
	    nla_parse_nested(o, TCA_TBF_MAX, a[TCA_OPTIONS], NULL) < 0)
		return;
	if (o[TCA_TBF_RATE64])
		bytes = nla_get_u64(o[TCA_TBF_RATE64]);
	else if (o[TCA_TBF_PARMS] && nla_len(o[TCA_TBF_PARMS]) >=
		 (int)sizeof(struct tc_tbf_qopt))
		bytes = ((struct tc_tbf_qopt *)nla_data(
			o[TCA_TBF_PARMS]))->rate.rate;
	for (size_t i = 0; i < k->n_links; i++)
		if (k->links[i].index == t->tcm_ifindex)
			k->links[i].rate = bytes * 8;
}

static void on_filter(struct nlmsghdr *h, void *arg)
{
	struct nlattr *a[TCA_MAX + 1], *o[TCA_BPF_MAX + 1];
	struct tcmsg *t = nlmsg_data(h);
	struct klink *l = arg;

	if (h->nlmsg_type != RTM_NEWTFILTER ||
	    t->tcm_info >> 16 != KSCREEN_PRIO || t->tcm_handle != 1 ||
	    nlmsg_parse(h, sizeof(*t), a, TCA_MAX, NULL) < 0 ||
	    !a[TCA_OPTIONS] || !a[TCA_KIND] ||
	    !streq(nla_get_string(a[TCA_KIND]), "bpf") ||
	    nla_parse_nested(o, TCA_BPF_MAX, a[TCA_OPTIONS], NULL) < 0 ||
	    !o[TCA_BPF_OPS])
		return;
	free(l->screen);
	l->screen_len = nla_len(o[TCA_BPF_OPS]);
	l->screen = xrealloc(NULL, l->screen_len + 1, 1);
	memcpy(l->screen, nla_data(o[TCA_BPF_OPS]), l->screen_len);
}

int nldump_screens(struct nlx *nl, struct kstate *k)
{
	int rc = 0;

	for (size_t i = 0; i < k->n_links && rc == 0; i++) {
		struct tcmsg t = { .tcm_family = AF_UNSPEC,
				   .tcm_ifindex = k->links[i].index,
				   .tcm_parent = KSCREEN_PARENT };

		if (!streq(k->links[i].kind, "tun"))
			continue;
		rc = nlx_dump(nl, request(RTM_GETTFILTER, &t, sizeof(t)),
			      on_filter, NULL, &k->links[i]);
		/* no qdisc to hang it on: there is none */
		if (rc == -EINVAL || rc == -ENOENT || rc == -ENODEV)
			rc = 0;
	}
	return rc;
}

int nldump_rates(struct nlx *nl, struct kstate *k)
{
	struct tcmsg t = { .tcm_family = AF_UNSPEC };

	return nlx_dump(nl, request(RTM_GETQDISC, &t, sizeof(t)), on_qdisc,
			NULL, k);
}
