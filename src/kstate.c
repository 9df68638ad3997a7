#include "kstate.h"

#include <stdlib.h>
#include <string.h>

void kstate_free(struct kstate *k)
{
	for (size_t i = 0; i < k->n_links; i++)
		free(k->links[i].alias);
	for (size_t i = 0; i < k->n_addrs; i++)
		free(k->addrs[i].raw);
	for (size_t i = 0; i < k->n_routes; i++)
		free(k->routes[i].raw);
	free(k->links);
	free(k->addrs);
	free(k->routes);
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
	for (size_t i = 0; index && i < k->n_links; i++)
		if (k->links[i].index == index)
			return &k->links[i];
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
