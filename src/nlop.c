#include "nlop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define DELETE_CHUNK 64

static struct nl_msg *message(int type, int flags, const void *head,
			      size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_size(8192);
	struct nlmsghdr *h;

	if (!msg)
		abort();
	h = nlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, type, 0, flags);
	if (!h || nlmsg_append(msg, (void *)(uintptr_t)head, len,
			       NLMSG_ALIGNTO) < 0)
		abort();
	return msg;
}

/* The values of linux/if_link.h, IFLA_BR_*; times in 1/100 s. */
static void put_bridge(struct nl_msg *msg, const struct link_set *s)
{
	struct nlattr *info, *data;

	info = nla_nest_start(msg, IFLA_LINKINFO);
	nla_put_string(msg, IFLA_INFO_KIND, "bridge");
	data = nla_nest_start(msg, IFLA_INFO_DATA);
	if (s->has & LS_FORWARD_DELAY)
		nla_put_u32(msg, IFLA_BR_FORWARD_DELAY, s->br.forward_delay);
	if (s->has & LS_HELLO_TIME)
		nla_put_u32(msg, IFLA_BR_HELLO_TIME, s->br.hello_time);
	if (s->has & LS_MAX_AGE)
		nla_put_u32(msg, IFLA_BR_MAX_AGE, s->br.max_age);
	if (s->has & LS_AGEING_TIME)
		nla_put_u32(msg, IFLA_BR_AGEING_TIME, s->br.ageing_time);
	if (s->has & LS_STP)
		nla_put_u32(msg, IFLA_BR_STP_STATE, s->br.stp);
	if (s->has & LS_PRIORITY)
		nla_put_u16(msg, IFLA_BR_PRIORITY, s->br.priority);
	if (s->has & LS_SNOOPING)
		nla_put_u8(msg, IFLA_BR_MCAST_SNOOPING, s->br.snooping);
	nla_nest_end(msg, data);
	nla_nest_end(msg, info);
}

static void put_port(struct nl_msg *msg, const struct link_set *s)
{
	struct nlattr *info, *data;

	info = nla_nest_start(msg, IFLA_LINKINFO);
	nla_put_string(msg, IFLA_INFO_SLAVE_KIND, "bridge");
	data = nla_nest_start(msg, IFLA_INFO_SLAVE_DATA);
	if (s->has & LS_ISOLATED)
		nla_put_u8(msg, IFLA_BRPORT_ISOLATED, s->isolated);
	if (s->has & LS_GROUP_FWD)
		nla_put_u16(msg, IFLA_BRPORT_GROUP_FWD_MASK, s->group_fwd);
	nla_nest_end(msg, data);
	nla_nest_end(msg, info);
}

static struct {
	char name[IFNAMSIZ];
	int index;
} looked_up;

void nlop_forget(void)
{
	looked_up.index = 0;
}

/* The index of a link, 0 if it does not exist: one look-up for a run of
 * operations on the same one. */
static int link_index(const char *name)
{
	if (looked_up.index && streq(looked_up.name, name))
		return looked_up.index;
	looked_up.index = if_nametoindex(name);
	if (looked_up.index)
		str_put(looked_up.name, sizeof(looked_up.name), name);
	return looked_up.index;
}

bool link_exists(const char *name)
{
	return if_nametoindex(name);
}

static void set_flag(struct ifinfomsg *i, const struct link_set *s,
		     unsigned int bit, unsigned int flag, bool on)
{
	if (!(s->has & bit))
		return;
	i->ifi_change |= flag;
	i->ifi_flags |= on ? flag : 0;
}

/* linux/veth.h: the peer is an ifinfomsg with attributes of its own. */
static struct nl_msg *veth_message(const struct op *op)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC };
	struct nl_msg *msg = message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL,
				     &i, sizeof(i));
	struct nlattr *info, *data, *peer;

	nla_put_string(msg, IFLA_IFNAME, op->object);
	info = nla_nest_start(msg, IFLA_LINKINFO);
	nla_put_string(msg, IFLA_INFO_KIND, "veth");
	data = nla_nest_start(msg, IFLA_INFO_DATA);
	peer = nla_nest_start(msg, VETH_INFO_PEER);
	if (nlmsg_append(msg, &i, sizeof(i), NLMSG_ALIGNTO) < 0)
		abort();
	nla_put_string(msg, IFLA_IFNAME, op->peer);
	nla_nest_end(msg, peer);
	nla_nest_end(msg, data);
	nla_nest_end(msg, info);
	return msg;
}

static struct nl_msg *link_message(const struct op *op, int *rc)
{
	const struct link_set *s = &op->set;
	bool create = op->kind == OP_BRIDGE_CREATE;
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC };
	int master = 0;
	struct nl_msg *msg;

	if ((s->has & LS_MASTER) && *s->master) {
		master = link_index(s->master);
		if (!master) {
			*rc = -ENODEV;
			return NULL;
		}
	}
	set_flag(&i, s, LS_UP, IFF_UP, s->up);
	set_flag(&i, s, LS_NOARP, IFF_NOARP, s->noarp);
	set_flag(&i, s, LS_ALLMULTI, IFF_ALLMULTI, s->allmulti);
	msg = message(RTM_NEWLINK, create ? NLM_F_CREATE | NLM_F_EXCL : 0, &i,
		      sizeof(i));
	nla_put_string(msg, IFLA_IFNAME, op->object);
	if (s->has & LS_MAC)
		nla_put(msg, IFLA_ADDRESS, 6, s->mac.b);
	if (s->has & LS_MTU)
		nla_put_u32(msg, IFLA_MTU, s->mtu);
	if (s->has & LS_MASTER)
		nla_put_u32(msg, IFLA_MASTER, master);
	if (s->has & LS_ALIAS)
		nla_put(msg, IFLA_IFALIAS, strlen(s->alias), s->alias);
	if (create || (s->has & LS_BRIDGE_BITS))
		put_bridge(msg, s);
	if (s->has & (LS_ISOLATED | LS_GROUP_FWD))
		put_port(msg, s);
	return msg;
}

/* Of a tap that nobody holds yet the kernel notes only up to a second later
 * that it has no carrier, unless somebody asks (rtnetlink.c, rtnl_getlink()).
 * Until then a bridge takes each new port for one that is up, and goes through
 * all the others: 1000 ports are a million looks. */
struct nl_msg *nlop_look(const struct op *op)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC };
	struct nl_msg *msg;

	if (op->kind != OP_LINK_SET || !(op->set.has & LS_MASTER) ||
	    !(op->set.has & LS_ALIAS) || !*op->set.master)
		return NULL;
	msg = message(RTM_GETLINK, 0, &i, sizeof(i));
	nla_put_string(msg, IFLA_IFNAME, op->object);
	nla_put_u32(msg, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return msg;
}

/* ---- addresses -------------------------------------------------------- */

static struct nl_msg *addr_message(const struct op *op, int index)
{
	const struct op_addr *a = &op->addr;
	bool add = op->kind == OP_ADDR_ADD;
	bool v4 = a->c.ip.family == AF_INET;
	struct ifaddrmsg m = { .ifa_family = a->c.ip.family,
			       .ifa_prefixlen = a->c.plen,
			       .ifa_index = index };
	struct nl_msg *msg;

	if (add && a->raw) {
		msg = message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, a->raw,
			      a->raw_len);
		((struct ifaddrmsg *)nlmsg_data(nlmsg_hdr(msg)))->ifa_index =
			index;
		return msg;
	}
	msg = message(add ? RTM_NEWADDR : RTM_DELADDR,
		      add ? NLM_F_CREATE | NLM_F_EXCL : 0, &m, sizeof(m));
	nla_put(msg, IFA_LOCAL, ip_bits(&a->c.ip) / 8, a->c.ip.b);
	nla_put(msg, IFA_ADDRESS, ip_bits(&a->c.ip) / 8, a->c.ip.b);
	if (add && v4 && a->c.plen < 31) {
		struct ip last = cidr_last(&a->c);

		nla_put(msg, IFA_BROADCAST, 4, last.b);
	}
	if (add && a->noprefix)
		nla_put_u32(msg, IFA_FLAGS, IFA_F_NOPREFIXROUTE);
	if (add && a->valid != KFOREVER) {
		struct ifa_cacheinfo c = { .ifa_valid = a->valid,
					   .ifa_prefered = a->preferred };

		nla_put(msg, IFA_CACHEINFO, sizeof(c), &c);
	}
	return msg;
}

/* ---- routes ----------------------------------------------------------- */

/* The same route over another link: every attribute but the outgoing link
 * and what the kernel only reports. */
static struct nl_msg *route_replay(const struct op_route *r, int type,
				   int flags, int index)
{
	struct rtmsg m;
	struct nl_msg *msg;
	struct nlattr *a;
	int left = r->raw_len - NLMSG_ALIGN(sizeof(m));

	memcpy(&m, r->raw, sizeof(m));
	/* RTNH_F_DEAD and the like are states; only onlink is a wish */
	m.rtm_flags &= RTNH_F_ONLINK;
	msg = message(type, flags, &m, sizeof(m));
	a = (struct nlattr *)(r->raw + NLMSG_ALIGN(sizeof(m)));
	for (; nla_ok(a, left); a = nla_next(a, &left)) {
		int t = nla_type(a);

		if (t == RTA_OIF || t == RTA_CACHEINFO || t == RTA_EXPIRES)
			continue;
		nla_put(msg, t | (a->nla_type & NLA_F_NESTED), nla_len(a),
			nla_data(a));
	}
	nla_put_u32(msg, RTA_OIF, index);
	if (r->expires && type == RTM_NEWROUTE)
		nla_put_u32(msg, RTA_EXPIRES, r->expires);
	return msg;
}

static struct nl_msg *route_message(const struct op *op, int index)
{
	const struct op_route *r = &op->route;
	bool add = op->kind == OP_ROUTE_ADD, v4 = r->gw.family == AF_INET;
	int type = add ? RTM_NEWROUTE : RTM_DELROUTE;
	int flags = !add ? 0 : r->replace ? NLM_F_CREATE | NLM_F_REPLACE :
		    v4 ? NLM_F_CREATE | NLM_F_APPEND : NLM_F_CREATE;
	struct rtmsg m = { .rtm_family = r->dst.ip.family,
			   .rtm_dst_len = r->dst.plen,
			   .rtm_table = RT_TABLE_MAIN,
			   .rtm_protocol = RTPROT_BOOT,
			   .rtm_scope = add ? RT_SCOPE_UNIVERSE :
				      RT_SCOPE_NOWHERE,
			   .rtm_type = RTN_UNICAST };
	bool v4_link = r->dst.ip.family == AF_INET && !r->gw.family;
	struct nl_msg *msg;

	if (add && v4_link)
		m.rtm_scope = RT_SCOPE_LINK;
	if (r->raw)
		return route_replay(r, type, flags, index);
	msg = message(type, flags, &m, sizeof(m));
	if (r->dst.plen)
		nla_put(msg, RTA_DST, ip_bits(&r->dst.ip) / 8, r->dst.ip.b);
	if (r->gw.family)
		nla_put(msg, RTA_GATEWAY, ip_bits(&r->gw) / 8, r->gw.b);
	if (r->source.family && add)
		nla_put(msg, RTA_PREFSRC, ip_bits(&r->source) / 8,
			r->source.b);
	if (r->metric)
		nla_put_u32(msg, RTA_PRIORITY, r->metric);
	nla_put_u32(msg, RTA_OIF, index);
	return msg;
}

static struct nl_msg *neigh_message(const struct op *op, int index)
{
	const struct kneigh *n = &op->neigh;
	struct ndmsg m = { .ndm_family = n->ip.family, .ndm_ifindex = index,
			   .ndm_state = NUD_REACHABLE };
	struct nl_msg *msg = message(RTM_NEWNEIGH, NLM_F_CREATE |
				     NLM_F_REPLACE, &m, sizeof(m));

	nla_put(msg, NDA_DST, ip_bits(&n->ip) / 8, n->ip.b);
	nla_put(msg, NDA_LLADDR, sizeof(n->mac.b), n->mac.b);
	return msg;
}

/* linux/pkt_cls.h: a classic program whose return value is the verdict. What is
 * there is replaced in one step. */
static struct nl_msg *screen_message(const struct op *op, int index)
{
	struct tcmsg t = {
		.tcm_family = AF_UNSPEC, .tcm_ifindex = index,
		.tcm_handle = 1, .tcm_parent = KSCREEN_PARENT,
		.tcm_info = TC_H_MAKE(KSCREEN_PRIO << 16, htons(ETH_P_ALL)),
	};
	struct nl_msg *msg = nlmsg_alloc_size(op->code_len + 4096);
	struct nlattr *o;

	if (!msg || !nlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, op->code ?
			       RTM_NEWTFILTER : RTM_DELTFILTER, 0, op->code ?
			       NLM_F_CREATE | NLM_F_REPLACE : 0) ||
	    nlmsg_append(msg, &t, sizeof(t), NLMSG_ALIGNTO) < 0)
		abort();
	if (!op->code)
		return msg;
	nla_put_string(msg, TCA_KIND, "bpf");
	o = nla_nest_start(msg, TCA_OPTIONS);
	nla_put_u16(msg, TCA_BPF_OPS_LEN, op->code_len / 8);
	if (nla_put(msg, TCA_BPF_OPS, op->code_len, op->code) < 0)
		abort();
	nla_put_u32(msg, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	nla_nest_end(msg, o);
	return msg;
}

struct nl_msg *nlop_clsact(const char *link)
{
	struct tcmsg t = { .tcm_family = AF_UNSPEC,
			   .tcm_ifindex = link_index(link),
			   .tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0),
			   .tcm_parent = TC_H_CLSACT };
	struct nl_msg *msg = message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL,
				     &t, sizeof(t));

	nla_put_string(msg, TCA_KIND, "clsact");
	return msg;
}

static struct nl_msg *proxy_message(const struct op *op, int index)
{
	const struct ip *ip = &op->neigh.ip;
	struct ndmsg m = { .ndm_family = ip->family, .ndm_ifindex = index,
			   .ndm_flags = NTF_PROXY,
			   .ndm_state = NUD_PERMANENT };
	struct nl_msg *msg = message(op->hold ? RTM_NEWNEIGH : RTM_DELNEIGH,
				     op->hold ? NLM_F_CREATE : 0, &m,
				     sizeof(m));

	nla_put(msg, NDA_DST, ip_bits(ip) / 8, ip->b);
	return msg;
}

/* A token bucket on what goes to the guest (tc-tbf(8)): a burst of a tenth of
 * a second, 50 ms of queue. The kernel computes its tables by itself where
 * the link layer is said. */
static struct nl_msg *rate_message(const struct op *op, int index)
{
	uint64_t bytes = op->rate / 8;
	uint32_t burst = bytes / 10 > 65536 ? bytes / 10 < UINT32_MAX / 2 ?
			 bytes / 10 : UINT32_MAX / 2 : 65536;
	struct tc_tbf_qopt q = {
		.rate = { .rate = bytes > UINT32_MAX ? UINT32_MAX : bytes,
			  .linklayer = TC_LINKLAYER_ETHERNET },
		.limit = burst + (bytes / 20 < UINT32_MAX / 2 ? bytes / 20 :
				  UINT32_MAX / 2),
		.buffer = burst,
	};
	struct tcmsg t = { .tcm_family = AF_UNSPEC, .tcm_ifindex = index,
			   .tcm_parent = TC_H_ROOT,
			   .tcm_handle = KQDISC_HANDLE };
	struct nl_msg *msg = message(op->rate ? RTM_NEWQDISC : RTM_DELQDISC,
				     op->rate ? NLM_F_CREATE | NLM_F_REPLACE :
				     0, &t, sizeof(t));
	struct nlattr *o;

	if (!op->rate)
		return msg;
	nla_put_string(msg, TCA_KIND, "tbf");
	o = nla_nest_start(msg, TCA_OPTIONS);
	nla_put(msg, TCA_TBF_PARMS, sizeof(q), &q);
	nla_put_u32(msg, TCA_TBF_BURST, burst);
	if (bytes > UINT32_MAX)
		nla_put_u64(msg, TCA_TBF_RATE64, bytes);
	nla_nest_end(msg, o);
	return msg;
}

struct nl_msg *nlop_message(const struct op *op, int *rc)
{
	int index;

	*rc = 0;
	if (op->kind == OP_BRIDGE_CREATE || op->kind == OP_LINK_SET)
		return link_message(op, rc);
	if (op->kind == OP_VETH_CREATE)
		return veth_message(op);
	index = link_index(op->object);
	if (!index) {
		*rc = -ENODEV;
		return NULL;
	}
	if (op->kind == OP_ADDR_ADD || op->kind == OP_ADDR_DEL)
		return addr_message(op, index);
	if (op->kind == OP_RATE)
		return rate_message(op, index);
	if (op->kind == OP_NEIGH_ADD)
		return neigh_message(op, index);
	if (op->kind == OP_SCREEN)
		return screen_message(op, index);
	if (op->kind == OP_PROXY)
		return proxy_message(op, index);
	return route_message(op, index);
}

/* ---- deleting --------------------------------------------------------- */

static struct nl_msg *delete_one(const char *name)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC };
	struct nl_msg *msg = message(RTM_DELLINK, 0, &i, sizeof(i));

	nla_put_string(msg, IFLA_IFNAME, name);
	return msg;
}

static struct nl_msg *set_group(const char *name, uint32_t group)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC };
	struct nl_msg *msg = message(RTM_NEWLINK, 0, &i, sizeof(i));

	nla_put_string(msg, IFLA_IFNAME, name);
	nla_put_u32(msg, IFLA_GROUP, group);
	return msg;
}

static struct nl_msg *delete_group(uint32_t group)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC };
	struct nl_msg *msg = message(RTM_DELLINK, 0, &i, sizeof(i));

	nla_put_u32(msg, IFLA_GROUP, group);
	return msg;
}

struct used {
	uint32_t group;
	bool found;
};

static void on_member(struct nlmsghdr *h, void *arg)
{
	struct used *u = arg;
	struct nlattr *a[IFLA_MAX + 1];

	if (h->nlmsg_type == RTM_NEWLINK &&
	    nlmsg_parse(h, sizeof(struct ifinfomsg), a, IFLA_MAX, NULL) == 0 &&
	    a[IFLA_GROUP] && nla_get_u32(a[IFLA_GROUP]) == u->group)
		u->found = true;
}

/* A group number that no link has; 0 after eight tries. */
static uint32_t free_group(struct nlx *nl)
{
	struct ifinfomsg i = { .ifi_family = AF_UNSPEC };
	struct used u = { .group = 0x6e627200 };	/* "nbr" */

	for (int tries = 0; tries < 8; tries++, u.group++) {
		u.found = false;
		if (nlx_dump(nl, message(RTM_GETLINK, 0, &i, sizeof(i)),
			     on_member, NULL, &u) == 0 && !u.found)
			return u.group;
	}
	return 0;
}

static int delete_chunk(struct nlx *nl, char (*names)[IFNAMSIZ], size_t n,
			uint32_t group)
{
	struct nlx_batch b = { 0 };
	unsigned int failed;
	int rc;

	for (size_t i = 0; i < n; i++)
		nlx_batch_add(nl, &b, set_group(names[i], group));
	rc = nlx_batch_send(nl, &b, &failed, NULL, NULL);
	if (rc < 0 && rc != -ENODEV)
		return rc;
	rc = nlx_ask(nl, delete_group(group));
	return rc == -ENODEV ? 0 : rc;
}

int nlop_delete_links(struct nlx *nl, char (*names)[IFNAMSIZ], size_t n,
		      void (*done)(size_t n))
{
	uint32_t group = n > 2 ? free_group(nl) : 0;
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0;) {
		size_t chunk = n - i < DELETE_CHUNK ? n - i : DELETE_CHUNK;

		if (group) {
			rc = delete_chunk(nl, names + i, chunk, group);
			i += chunk;
			if (done)
				done(chunk);
			continue;
		}
		rc = nlx_ask(nl, delete_one(names[i++]));
		if (rc == -ENODEV)
			rc = 0;
		if (done)
			done(1);
	}
	return rc;
}
