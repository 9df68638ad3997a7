#include "kstate.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void kstate_free(struct kstate *k)
{
	for (size_t i = 0; i < k->n_links; i++) {
		free(k->links[i].alias);
		free(k->links[i].screen);
	}
	for (size_t i = 0; i < k->n_addrs; i++)
		free(k->addrs[i].raw);
	for (size_t i = 0; i < k->n_routes; i++)
		free(k->routes[i].raw);
	free(k->links);
	free(k->addrs);
	free(k->routes);
	free(k->neighs);
	free(k->proxies);
	strmap_free(&k->by_name);
	*k = (struct kstate){ 0 };
}

const struct klink *kstate_link(const struct kstate *k, const char *name)
{
	uintptr_t i = (uintptr_t)strmap_get(&k->by_name, name);

	return i ? &k->links[i - 1] : NULL;
}

const struct klink *kstate_link_index(const struct kstate *k, int index)
{
	size_t *hint = &((struct kstate *)(uintptr_t)k)->hint;

	/* mostly the bridge is asked for, again and again */
	if (index && *hint < k->n_links && k->links[*hint].index == index)
		return &k->links[*hint];
	for (size_t i = 0; index && i < k->n_links; i++)
		if (k->links[i].index == index) {
			*hint = i;
			return &k->links[i];
		}
	return NULL;
}

const struct kaddr *kstate_addr(const struct kstate *k, int index,
				const struct ip *ip)
{
	for (size_t i = 0; i < k->n_addrs; i++)
		if (k->addrs[i].index == index &&
		    ip_equal(&k->addrs[i].c.ip, ip))
			return &k->addrs[i];
	return NULL;
}

struct klink *kstate_add_link(struct kstate *k, const struct klink *l)
{
	ARRAY_GROW(k->links, k->n_links);
	k->links[k->n_links] = *l;
	k->links[k->n_links].alias = xstrdup(l->alias ? l->alias : "");
	strmap_put(&k->by_name, l->name, (void *)(uintptr_t)++k->n_links);
	return &k->links[k->n_links - 1];
}

static uint8_t *copy_bytes(const uint8_t *p, size_t len)
{
	uint8_t *copy = xcalloc(len, 1);

	if (len)
		memcpy(copy, p, len);
	return copy;
}

struct kaddr *kstate_add_addr(struct kstate *k, const struct kaddr *a)
{
	ARRAY_GROW(k->addrs, k->n_addrs);
	k->addrs[k->n_addrs] = *a;
	k->addrs[k->n_addrs].raw = copy_bytes(a->raw, a->raw_len);
	return &k->addrs[k->n_addrs++];
}

struct kroute *kstate_add_route(struct kstate *k, const struct kroute *r)
{
	ARRAY_GROW(k->routes, k->n_routes);
	k->routes[k->n_routes] = *r;
	k->routes[k->n_routes].raw = copy_bytes(r->raw, r->raw_len);
	return &k->routes[k->n_routes++];
}

void kstate_add_proxy(struct kstate *k, int index, const struct ip *ip)
{
	ARRAY_GROW(k->proxies, k->n_proxies);
	k->proxies[k->n_proxies++] = (struct kneigh){ .index = index,
						      .ip = *ip };
}

void kstate_add_neigh(struct kstate *k, const struct kneigh *n)
{
	ARRAY_GROW(k->neighs, k->n_neighs);
	k->neighs[k->n_neighs++] = *n;
}

char *kroute_words(const struct kroute *r, char *out, size_t size)
{
	char dst[CIDR_TEXT] = "default", gw[IP_TEXT] = "";

	if (r->dst.plen)
		cidr_format(&r->dst, dst);
	if (r->gw.family)
		ip_format(&r->gw, gw);
	snprintf(out, size, "%s%s%s", dst, r->gw.family ? " via " : "", gw);
	return out;
}

bool klink_is_ours(const struct klink *l)
{
	return str_begins(l->alias, "netbr ") || streq(l->alias, "netbr");
}

char *klink_alias_bridge(const struct klink *l, char out[IFNAMSIZ])
{
	out[0] = '\0';
	if (str_begins(l->alias, "netbr ")) {
		const char *name = l->alias + 6;
		size_t n = strcspn(name, " ");

		if (n < IFNAMSIZ) {
			memcpy(out, name, n);
			out[n] = '\0';
		}
	}
	return out;
}

/* ---- raw messages ----------------------------------------------------- */

/* Indexes attributes by type; a[type] is NULL where there is none. */
static void index_attrs(const uint8_t *p, size_t len, struct rtattr *a[],
			unsigned int max)
{
	struct rtattr *r = (struct rtattr *)(uintptr_t)p;
	/* signed: the last attribute's padding may be missing, and then
	 * RTA_NEXT() takes more than there is */
	int left = (int)len;

	memset(a, 0, (max + 1) * sizeof(*a));
	for (; RTA_OK(r, left); r = RTA_NEXT(r, left))
		if ((r->rta_type & NLA_TYPE_MASK) <= max)
			a[r->rta_type & NLA_TYPE_MASK] = r;
}

static void attr_ip(struct ip *out, int family, const struct rtattr *a)
{
	size_t len = family == AF_INET ? 4 : 16;

	if (!a || RTA_PAYLOAD(a) < len)
		return;
	out->family = family;
	memcpy(out->b, RTA_DATA(a), len);
}

static uint32_t attr_u32(const struct rtattr *a, uint32_t otherwise)
{
	uint32_t v;

	if (!a || RTA_PAYLOAD(a) < sizeof(v))
		return otherwise;
	memcpy(&v, RTA_DATA(a), sizeof(v));
	return v;
}

bool kaddr_parse(struct kaddr *k, const uint8_t *raw, size_t len)
{
	const struct ifaddrmsg *m = (const void *)raw;
	struct rtattr *a[IFA_MAX + 1];

	if (len < sizeof(*m) ||
	    (m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
		return false;
	index_attrs(raw + NLMSG_ALIGN(sizeof(*m)),
		    len - NLMSG_ALIGN(sizeof(*m)), a, IFA_MAX);
	*k = (struct kaddr){ .index = m->ifa_index, .scope = m->ifa_scope,
			     .valid = KFOREVER, .preferred = KFOREVER,
			     .raw = (uint8_t *)(uintptr_t)raw,
			     .raw_len = len };
	k->c.plen = m->ifa_prefixlen;
	attr_ip(&k->c.ip, m->ifa_family,
		a[IFA_LOCAL] ? a[IFA_LOCAL] : a[IFA_ADDRESS]);
	k->flags = attr_u32(a[IFA_FLAGS], m->ifa_flags);
	if (a[IFA_LABEL]) {
		size_t n = RTA_PAYLOAD(a[IFA_LABEL]) + 1;

		/* its end may be missing */
		str_put(k->label, n < sizeof(k->label) ? n : sizeof(k->label),
			RTA_DATA(a[IFA_LABEL]));
	}
	if (a[IFA_CACHEINFO] && RTA_PAYLOAD(a[IFA_CACHEINFO]) >=
	    sizeof(struct ifa_cacheinfo)) {
		struct ifa_cacheinfo *c = RTA_DATA(a[IFA_CACHEINFO]);

		k->valid = c->ifa_valid;
		k->preferred = c->ifa_prefered;
	}
	return k->c.ip.family;
}

bool kroute_parse(struct kroute *r, const uint8_t *raw, size_t len)
{
	const struct rtmsg *m = (const void *)raw;
	struct rtattr *a[RTA_MAX + 1];

	if (len < sizeof(*m) || (m->rtm_flags & RTM_F_CLONED) ||
	    (m->rtm_family != AF_INET && m->rtm_family != AF_INET6))
		return false;
	index_attrs(raw + NLMSG_ALIGN(sizeof(*m)),
		    len - NLMSG_ALIGN(sizeof(*m)), a, RTA_MAX);
	*r = (struct kroute){
		.family = m->rtm_family, .protocol = m->rtm_protocol,
		.type = m->rtm_type, .scope = m->rtm_scope,
		.table = attr_u32(a[RTA_TABLE], m->rtm_table),
		.oif = attr_u32(a[RTA_OIF], 0),
		.metric = attr_u32(a[RTA_PRIORITY], 0),
		.multipath = a[RTA_MULTIPATH],
		.raw = (uint8_t *)(uintptr_t)raw, .raw_len = len,
	};
	r->dst.ip.family = m->rtm_family;
	r->dst.plen = m->rtm_dst_len;
	attr_ip(&r->dst.ip, m->rtm_family, a[RTA_DST]);
	attr_ip(&r->gw, m->rtm_family, a[RTA_GATEWAY]);
	attr_ip(&r->prefsrc, m->rtm_family, a[RTA_PREFSRC]);
	if (a[RTA_CACHEINFO] && RTA_PAYLOAD(a[RTA_CACHEINFO]) >=
	    sizeof(struct rta_cacheinfo)) {
		struct rta_cacheinfo *c = RTA_DATA(a[RTA_CACHEINFO]);

		/* in USER_HZ; negative: already over */
		if (c->rta_expires > 0)
			r->expires = c->rta_expires / 100 + 1;
	}
	return true;
}

bool kneigh_parse(struct kneigh *n, const uint8_t *raw, size_t len)
{
	const struct ndmsg *m = (const void *)raw;
	struct rtattr *a[NDA_MAX + 1];

	if (len < sizeof(*m) ||
	    (m->ndm_family != AF_INET && m->ndm_family != AF_INET6) ||
	    !(m->ndm_state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY |
			      NUD_PROBE)))
		return false;
	index_attrs(raw + NLMSG_ALIGN(sizeof(*m)),
		    len - NLMSG_ALIGN(sizeof(*m)), a, NDA_MAX);
	*n = (struct kneigh){ .index = m->ndm_ifindex };
	attr_ip(&n->ip, m->ndm_family, a[NDA_DST]);
	if (!n->ip.family || !a[NDA_LLADDR] ||
	    RTA_PAYLOAD(a[NDA_LLADDR]) != sizeof(n->mac.b))
		return false;
	memcpy(n->mac.b, RTA_DATA(a[NDA_LLADDR]), sizeof(n->mac.b));
	return true;
}
