#include "fwdelta.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

struct element {
	char *set;		/* "bridge netbr-br0 own4" */
	char *text;
};

struct rules {
	struct element *v;
	size_t n;
	struct strmap have;	/* "SET ELEMENT" */
	struct buf rest;	/* all other lines */
};

static void add_line(struct rules *r, const char *set, const char *line,
		     size_t len)
{
	_cleanup_free_ char *key = NULL;

	if (!set) {
		buf_add(&r->rest, line, len);
		buf_puts(&r->rest, "\n");
		return;
	}
	while (len && line[len - 1] == ',')
		len--;
	key = xasprintf("%s %.*s", set, (int)len, line);
	if (strmap_put(&r->have, key, (void *)1))
		return;
	ARRAY_GROW(r->v, r->n);
	r->v[r->n++] = (struct element){ xstrdup(set), xstrndup(line, len) };
}

/* A block begins with "add element SET {" and ends with "}", each on a line
 * of its own; every line between is one element. */
static void read_rules(struct rules *r, const char *text)
{
	static const char begin[] = "add element ";
	_cleanup_free_ char *set = NULL;

	while (*text) {
		size_t len = strcspn(text, "\n");

		if (!set && str_begins(text, begin) && len > sizeof(begin) &&
		    text[len - 1] == '{') {
			set = xstrndup(text + strlen(begin),
				       len - strlen(begin) - 2);
		} else if (set && len == 1 && *text == '}') {
			free(set);
			set = NULL;
		} else {
			add_line(r, set, text, len);
		}
		text += len + (text[len] == '\n');
	}
}

static void rules_free(struct rules *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].set);
		free(r->v[i].text);
	}
	free(r->v);
	strmap_free(&r->have);
	buf_free(&r->rest);
}

/* Elements of one that the other has not. */
static void put_missing(struct buf *out, const char *verb,
			const struct rules *of, const struct rules *in)
{
	for (size_t i = 0; i < of->n; i++) {
		_cleanup_free_ char *key = xasprintf("%s %s", of->v[i].set,
						     of->v[i].text);

		if (!strmap_get(&in->have, key))
			buf_printf(out, "%s element %s { %s }\n", verb,
				   of->v[i].set, of->v[i].text);
	}
}

char *fw_delta(const char *old, const char *new)
{
	struct rules a = { 0 }, b = { 0 };
	struct buf out = { 0 };

	read_rules(&a, old);
	read_rules(&b, new);
	if (streq(buf_str(&a.rest), buf_str(&b.rest))) {
		buf_puts(&out, "");
		put_missing(&out, "delete", &a, &b);
		put_missing(&out, "add", &b, &a);
	}
	rules_free(&a);
	rules_free(&b);
	return out.s;
}
