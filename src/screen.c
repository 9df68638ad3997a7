#include "screen.h"

#include <linux/bpf_common.h>
#include <linux/pkt_cls.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* Offsets in an Ethernet frame. */
enum {
	AT_TYPE = 12,
	AT_FRAG4 = 14 + 6, AT_PROTO4 = 14 + 9, AT_IP4 = 14,
	AT_LENGTH6 = 14 + 4, AT_NEXT6 = 14 + 6, AT_SOURCE6 = 14 + 8,
	AT_BODY6 = 14 + 40,		/* behind the IPv6 header */
	AT_TARGET = AT_BODY6 + 8,	/* of NS and NA (RFC 4861) */
	AT_RS_OPTION = AT_BODY6 + 8, AT_ND_OPTION = AT_BODY6 + 24,
	AT_CHADDR = 8 + 28,		/* behind the IPv4 header (RFC 2131) */
};

struct program {
	struct sock_filter *v;
	size_t n, room;
};

static void emit(struct program *p, uint16_t code, uint8_t jt, uint8_t jf,
		 uint32_t k)
{
	if (p->n == p->room) {
		p->room = p->room ? 2 * p->room : 256;
		p->v = xrealloc(p->v, p->room, sizeof(*p->v));
	}
	p->v[p->n++] = (struct sock_filter){ code, jt, jf, k };
}

static void load(struct program *p, uint16_t size, uint32_t at)
{
	emit(p, BPF_LD | size | BPF_ABS, 0, 0, at);
}

static void end(struct program *p, int action)
{
	emit(p, BPF_RET | BPF_K, 0, 0, (uint32_t)action);
}

#define PASS TC_ACT_UNSPEC
#define DROP TC_ACT_SHOT

/* Ends with `action` if what was loaded is k. */
static void end_if(struct program *p, uint32_t k, int action)
{
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, k);
	end(p, action);
}

static void drop_unless(struct program *p, uint32_t k)
{
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, k);
	end(p, DROP);
}

/* What is loaded from beyond the end would end the program, and pass. */
static void drop_shorter(struct program *p, uint32_t length)
{
	emit(p, BPF_LD | BPF_W | BPF_LEN, 0, 0, 0);
	emit(p, BPF_JMP | BPF_JGE | BPF_K, 1, 0, length);
	end(p, DROP);
}

/* A jump to a place that land() fills in, if what was loaded is k. */
static size_t jump_if(struct program *p, uint32_t k)
{
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, k);
	emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
	return p->n - 1;
}

static size_t jump(struct program *p)
{
	emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
	return p->n - 1;
}

static void land(struct program *p, size_t from)
{
	p->v[from].k = p->n - from - 1;
}

static uint32_t word(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

/* A link-layer option of this type that holds the guest's own MAC. */
static void want_option(struct program *p, uint32_t at, uint32_t type,
			const struct mac *m)
{
	load(p, BPF_H, at);
	drop_unless(p, type << 8 | 1);
	load(p, BPF_W, at + 2);
	drop_unless(p, word(m->b));
	load(p, BPF_H, at + 6);
	drop_unless(p, m->b[4] << 8 | m->b[5]);
}

/* Ends if the target is this address. */
static void end_if_target(struct program *p, const struct ip *ip, int action)
{
	for (int i = 0; i < 4; i++) {
		load(p, BPF_W, AT_TARGET + 4 * i);
		emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 7 - 2 * i,
		     word(ip->b + 4 * i));
	}
	end(p, action);
}

/* Ends if any of these bits is set: 0x1fff is the offset in the datagram, 0x2000
 * says that more follow (RFC 791). */
static void end_if_fragment(struct program *p, uint32_t bits, int action)
{
	load(p, BPF_H, AT_FRAG4);
	emit(p, BPF_JMP | BPF_JSET | BPF_K, 0, 1, bits);
	end(p, action);
}

/* Reports and leaves of groups, whole; a guest that asks would become the
 * bridge's querier. X is where the IPv4 header ends. */
static void put_igmp(struct program *p)
{
	static const uint8_t said[] = { 0x12, 0x16, 0x17, 0x22 };

	end_if_fragment(p, 0x3fff, DROP);
	drop_shorter(p, AT_IP4 + 20 + 8);
	emit(p, BPF_LDX | BPF_B | BPF_MSH, 0, 0, AT_IP4);
	emit(p, BPF_LD | BPF_B | BPF_IND, 0, 0, AT_IP4);
	for (size_t i = 0; i < sizeof(said); i++)
		end_if(p, said[i], PASS);
	end(p, DROP);
}

/* A DHCP client asks for itself: whole, a request (RFC 2131) of an Ethernet
 * card, not by a relay, with its own MAC as chaddr. */
static void put_dhcp(struct program *p, const struct guest *g)
{
	end_if_fragment(p, 0x3fff, DROP);
	drop_shorter(p, AT_IP4 + 60 + AT_CHADDR + 6);
	emit(p, BPF_LD | BPF_W | BPF_IND, 0, 0, AT_IP4 + 8);
	emit(p, BPF_ALU | BPF_RSH | BPF_K, 0, 0, 8);
	drop_unless(p, 0x010106);
	emit(p, BPF_LD | BPF_W | BPF_IND, 0, 0, AT_IP4 + AT_CHADDR - 4);
	drop_unless(p, 0);
	emit(p, BPF_LD | BPF_W | BPF_IND, 0, 0, AT_IP4 + AT_CHADDR);
	drop_unless(p, word(g->mac.b));
	emit(p, BPF_LD | BPF_H | BPF_IND, 0, 0, AT_IP4 + AT_CHADDR + 4);
	drop_unless(p, g->mac.b[4] << 8 | g->mac.b[5]);
	end(p, PASS);
}

static void put_ipv4(struct program *p, const struct guest *g)
{
	size_t igmp, dhcp;

	load(p, BPF_B, AT_PROTO4);
	igmp = jump_if(p, IPPROTO_IGMP);
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, IPPROTO_UDP);
	end(p, PASS);
	end_if_fragment(p, 0x1fff, PASS);
	/* what begins a datagram shows its ports */
	drop_shorter(p, AT_IP4 + 20 + 8);
	emit(p, BPF_LDX | BPF_B | BPF_MSH, 0, 0, AT_IP4);
	emit(p, BPF_LD | BPF_H | BPF_IND, 0, 0, AT_IP4 + 2);
	end_if(p, 68, DROP);
	dhcp = jump_if(p, 67);
	end(p, PASS);
	land(p, igmp);
	put_igmp(p);
	land(p, dhcp);
	put_dhcp(p, g);
}

/* Fragments: no header in between, and the first one shows what it is. */
static void put_fragment(struct program *p)
{
	static const uint8_t whole[] = { IPPROTO_TCP, IPPROTO_UDP,
					 IPPROTO_ICMPV6, IPPROTO_SCTP };
	size_t first, icmp, udp;

	load(p, BPF_H, AT_BODY6 + 2);
	emit(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xfff8);
	first = jump_if(p, 0);
	load(p, BPF_B, AT_BODY6);
	for (size_t i = 0; i < sizeof(whole); i++)
		end_if(p, whole[i], PASS);
	end(p, DROP);
	land(p, first);
	drop_shorter(p, AT_BODY6 + 8 + 4);
	load(p, BPF_B, AT_BODY6);
	icmp = jump_if(p, IPPROTO_ICMPV6);
	udp = jump_if(p, IPPROTO_UDP);
	end_if(p, IPPROTO_TCP, PASS);
	end_if(p, IPPROTO_SCTP, PASS);
	end(p, DROP);
	land(p, icmp);
	load(p, BPF_B, AT_BODY6 + 8);
	emit(p, BPF_JMP | BPF_JGT | BPF_K, 0, 1, ICMP6_ECHO_REPLY);
	end(p, DROP);
	end(p, PASS);
	land(p, udp);
	load(p, BPF_H, AT_BODY6 + 8);
	end_if(p, 547, DROP);
	load(p, BPF_H, AT_BODY6 + 8 + 2);
	end_if(p, 546, DROP);
	end_if(p, 547, DROP);
	end(p, PASS);
}

/* Hop-by-hop options are for multicast listeners (RFC 2710, 3810). */
static void put_hop_by_hop(struct program *p)
{
	static const uint8_t mld[] = { MLD_LISTENER_REPORT,
				       MLD_LISTENER_REDUCTION, 143 };

	drop_shorter(p, AT_BODY6 + 8 + 1);
	load(p, BPF_B, AT_BODY6);
	drop_unless(p, IPPROTO_ICMPV6);
	load(p, BPF_B, AT_BODY6 + 1);
	drop_unless(p, 0);
	load(p, BPF_B, AT_BODY6 + 8);
	for (size_t i = 0; i < sizeof(mld); i++)
		end_if(p, mld[i], PASS);
	end(p, DROP);
}

static void put_targets(struct program *p, const struct model *m,
			const struct guest *g)
{
	const struct bridge *b = g->bridge;
	struct list_of_ips own = guest_own6(g);

	for (size_t i = 0; i < own.n; i++)
		end_if_target(p, &own.v[i], PASS);
	free(own.v);
	if (guest_ip(g, AF_INET6)) {
		end(p, DROP);
		return;
	}
	for (size_t i = 0; i < b->address.n; i++)
		if (b->address.v[i].cidr.ip.family == AF_INET6)
			end_if_target(p, &b->address.v[i].cidr.ip, DROP);
	for (size_t i = 0; i < m->n_guests; i++)
		for (size_t k = 0; m->guests[i]->bridge == b &&
		     k < m->guests[i]->ip.n; k++)
			if (m->guests[i]->ip.v[k].cidr.ip.family == AF_INET6)
				end_if_target(p, &m->guests[i]->ip.v[k].cidr.ip,
					      DROP);
	end(p, PASS);
}

/* A message that ends where its option would begin, or has just that. */
static void put_solicitation(struct program *p, uint32_t option,
			     const struct mac *m)
{
	load(p, BPF_H, AT_LENGTH6);
	end_if(p, option - AT_BODY6, PASS);
	drop_unless(p, option + 8 - AT_BODY6);
	want_option(p, option, ND_OPT_SOURCE_LINKADDR, m);
	end(p, PASS);
}

/* Neighbour discovery: at most one option, the guest's own MAC; what is
 * advertised, or probed for duplicates, is its own. */
static void put_discovery(struct program *p, const struct model *m,
			  const struct guest *g)
{
	size_t rs, ns, na, probe, target[3];

	/* the whole of what the header promises is there */
	load(p, BPF_H, AT_LENGTH6);
	emit(p, BPF_ALU | BPF_ADD | BPF_K, 0, 0, AT_BODY6);
	emit(p, BPF_MISC | BPF_TAX, 0, 0, 0);
	emit(p, BPF_LD | BPF_W | BPF_LEN, 0, 0, 0);
	emit(p, BPF_JMP | BPF_JGE | BPF_X, 1, 0, 0);
	end(p, DROP);
	load(p, BPF_B, AT_BODY6);
	rs = jump_if(p, ND_ROUTER_SOLICIT);
	ns = jump_if(p, ND_NEIGHBOR_SOLICIT);
	na = jump_if(p, ND_NEIGHBOR_ADVERT);
	end_if(p, MLD_LISTENER_QUERY, DROP);
	end_if(p, ND_ROUTER_ADVERT, DROP);
	end_if(p, ND_REDIRECT, DROP);
	end(p, PASS);
	land(p, rs);
	put_solicitation(p, AT_RS_OPTION, &g->mac);
	land(p, ns);
	load(p, BPF_W, AT_SOURCE6);
	for (int i = 1; i < 4; i++) {
		emit(p, BPF_MISC | BPF_TAX, 0, 0, 0);
		load(p, BPF_W, AT_SOURCE6 + 4 * i);
		emit(p, BPF_ALU | BPF_OR | BPF_X, 0, 0, 0);
	}
	probe = jump_if(p, 0);
	put_solicitation(p, AT_ND_OPTION, &g->mac);
	land(p, probe);
	load(p, BPF_H, AT_LENGTH6);
	target[0] = jump_if(p, 24);
	drop_unless(p, 32);
	target[1] = jump(p);
	land(p, na);
	load(p, BPF_H, AT_LENGTH6);
	target[2] = jump_if(p, 24);
	drop_unless(p, 32);
	want_option(p, AT_ND_OPTION, ND_OPT_TARGET_LINKADDR, &g->mac);
	for (int i = 0; i < 3; i++)
		land(p, target[i]);
	put_targets(p, m, g);
}

static void put_ipv6(struct program *p, const struct model *m,
		     const struct guest *g)
{
	static const uint8_t plain[] = {
		IPPROTO_IPIP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_IPV6,
		IPPROTO_GRE, IPPROTO_ESP, IPPROTO_NONE, IPPROTO_SCTP,
	};
	size_t icmp, hop, fragment;

	drop_shorter(p, AT_BODY6);
	load(p, BPF_B, AT_NEXT6);
	icmp = jump_if(p, IPPROTO_ICMPV6);
	hop = jump_if(p, IPPROTO_HOPOPTS);
	fragment = jump_if(p, IPPROTO_FRAGMENT);
	for (size_t i = 0; i < sizeof(plain); i++)
		end_if(p, plain[i], PASS);
	end(p, DROP);
	land(p, hop);
	put_hop_by_hop(p);
	land(p, fragment);
	put_fragment(p);
	land(p, icmp);
	put_discovery(p, m, g);
}

size_t screen_program(const struct model *m, const struct guest *g,
		      struct sock_filter **out)
{
	struct program p = { 0 };
	size_t v4, v6;

	load(&p, BPF_H, AT_TYPE);
	v4 = jump_if(&p, ETHERTYPE_IP);
	v6 = jump_if(&p, ETHERTYPE_IPV6);
	end(&p, PASS);
	land(&p, v4);
	put_ipv4(&p, g);
	land(&p, v6);
	put_ipv6(&p, m, g);
	if (p.n > BPF_MAXINSNS) {
		free(p.v);
		*out = NULL;
		return 0;
	}
	*out = p.v;
	return p.n;
}
