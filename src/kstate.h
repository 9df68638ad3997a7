/* The kernel state we care about, as plain structs. nldump.c fills it from
 * netlink, tests from a text. Pure. */
#ifndef NETBR_KSTATE_H
#define NETBR_KSTATE_H

#include "addr.h"
#include "util.h"

#define KFOREVER UINT32_MAX
/* The handle of our qdiscs: major number "nb" (linux/pkt_sched.h). */
#define KQDISC_HANDLE 0x6e620000u
/* IFF_LOWER_UP of linux/if.h, which clashes with net/if.h: has carrier */
#define KLINK_LOWER_UP 0x10000u

struct kbridge {
	uint32_t forward_delay, hello_time, max_age, ageing_time; /* cs */
	uint16_t priority;
	bool stp, snooping;
};

struct ktun {
	bool is_tap, persist, vnet_hdr, multi_queue;
	uint32_t owner, group;	/* KFOREVER: not set */
};

/* Our place among a link's filters (tc(8)): any other number is somebody
 * else's. */
#define KSCREEN_PRIO 0x6e62u
#define KSCREEN_PARENT 0xfffffff2u	/* clsact, ingress */

struct klink {
	int index, master;	/* master 0: none */
	char name[IFNAMSIZ];
	char kind[16];		/* "bridge", "tun", "veth", "" */
	bool ethernet;
	struct mac mac;
	uint32_t mtu, flags, group;	/* flags: IFF_UP, IFF_LOWER_UP... */
	char *alias;		/* never NULL */
	bool wireless;
	bool disable_ipv6;
	uint8_t *screen;	/* our program on it (screen.h), NULL: none */
	size_t screen_len;
	uint64_t rate;		/* of our qdisc on it, bit/s; 0: none */
	bool isolated;		/* as a bridge port */
	uint16_t group_fwd;	/* IFLA_BRPORT_GROUP_FWD_MASK */
	uint8_t port_state;	/* BR_STATE_* as a bridge port */
	struct kbridge br;	/* kind "bridge" */
	struct ktun tun;	/* kind "tun" */
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets, rx_dropped,
		tx_dropped;
};

/* raw is the netlink payload (ifaddrmsg resp. rtmsg and attributes), for
 * putting it back just as it was. */
struct kaddr {
	int index;
	struct cidr c;
	uint32_t flags, valid, preferred;
	uint8_t scope;
	char label[IFNAMSIZ];
	uint8_t *raw;
	size_t raw_len;
};

struct kroute {
	int oif;
	int family;
	uint32_t table, metric, expires;	/* expires in s, 0 = never */
	uint8_t protocol, type, scope;
	struct cidr dst;		/* plen 0: default */
	struct ip gw, prefsrc;		/* family 0: none */
	bool multipath;
	uint8_t *raw;
	size_t raw_len;
};

/* Whom a link knows by MAC address: usable entries only. */
struct kneigh {
	int index;
	struct ip ip;
	struct mac mac;
};

struct kstate {
	struct klink *links;
	size_t n_links;
	struct kaddr *addrs;
	size_t n_addrs;
	struct kroute *routes;
	size_t n_routes;
	struct kneigh *neighs;
	size_t n_neighs;
	struct kneigh *proxies;	/* whom a link answers for; no MAC. Dumped
				 * by nldump_proxies() */
	size_t n_proxies;
	struct strmap by_name;	/* link name -> index into links, + 1 */
	size_t hint;		/* where the last look-up by index ended */
};

void kstate_free(struct kstate *k);
/* Look-ups; NULL if there is none. */
const struct klink *kstate_link(const struct kstate *k, const char *name);
const struct klink *kstate_link_index(const struct kstate *k, int index);
const struct kaddr *kstate_addr(const struct kstate *k, int index,
				const struct ip *ip);
/* Adds a copy; used by the dump and by tests. Returns the new one. */
struct klink *kstate_add_link(struct kstate *k, const struct klink *l);
struct kaddr *kstate_add_addr(struct kstate *k, const struct kaddr *a);
struct kroute *kstate_add_route(struct kstate *k, const struct kroute *r);

void kstate_add_neigh(struct kstate *k, const struct kneigh *n);
void kstate_add_proxy(struct kstate *k, int index, const struct ip *ip);

/* Fill from a netlink payload (rtnetlink(7)): ifaddrmsg or rtmsg, then
 * attributes. raw is borrowed. False if it is malformed. */
bool kaddr_parse(struct kaddr *a, const uint8_t *raw, size_t len);
bool kroute_parse(struct kroute *r, const uint8_t *raw, size_t len);
bool kneigh_parse(struct kneigh *n, const uint8_t *raw, size_t len);

/* "10.0.0.0/8 via 10.1.0.1", ip-route's words; returns out. */
char *kroute_words(const struct kroute *r, char *out, size_t size);

/* Did netbr make this link (its alias says so)? */
bool klink_is_ours(const struct klink *l);
/* The bridge named in our alias "netbr BRIDGE ...", "" if it is not ours. */
char *klink_alias_bridge(const struct klink *l, char out[IFNAMSIZ]);

#endif
