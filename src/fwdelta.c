#include "fwdelta.h"

#include <stdlib.h>
#include <string.h>

#include "util.h"

/* The elements of a set, one a line. */
struct block {
	char *set;		/* "bridge netbr-br0 own4" */
	struct buf lines;
};

struct rules {
	struct block *v;
	size_t n;
	struct buf rest;	/* all other lines */
};

static struct block *get_block(struct rules *r, const char *set, size_t len)
{
	for (size_t i = 0; i < r->n; i++)
		if (strlen(r->v[i].set) == len &&
		    memcmp(r->v[i].set, set, len) == 0)
			return &r->v[i];
	ARRAY_GROW(r->v, r->n);
	r->v[r->n] = (struct block){ .set = xstrndup(set, len) };
	return &r->v[r->n++];
}

/* A block begins with "add element SET {" and ends with "}", each on a line
 * of its own; every line between is one element. */
static void read_rules(struct rules *r, const char *text)
{
	static const char begin[] = "add element ", end[] = "\n}\n";

	while (*text) {
		size_t len = strcspn(text, "\n");
		const char *close;
		struct block *b;

		if (!str_begins(text, begin) || len < sizeof(begin) + 2 ||
		    text[len - 1] != '{' ||
		    !(close = strstr(text + len, end))) {
			buf_add(&r->rest, text, len);
			buf_puts(&r->rest, "\n");
			text += len + (text[len] == '\n');
			continue;
		}
		b = get_block(r, text + strlen(begin),
			      len - strlen(begin) - 2);
		buf_add(&b->lines, text + len + 1, close - text - len);
		text = close + strlen(end);
	}
}

static void rules_free(struct rules *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].set);
		buf_free(&r->v[i].lines);
	}
	free(r->v);
	buf_free(&r->rest);
}

/* The lines of a block from beg to end. */
struct part {
	const char *beg, *end;
};

static size_t line_len(const struct part *p)
{
	const char *nl = memchr(p->beg, '\n', p->end - p->beg);

	return (nl ? nl + 1 : p->end) - p->beg;
}

/* The element of a line: without its comma. */
static size_t bare_len(const char *line, size_t len)
{
	while (len && (line[len - 1] == '\n' || line[len - 1] == ','))
		len--;
	return len;
}

/* Takes off the lines that both begin with, and both end with. */
static void trim(struct part *a, struct part *b)
{
	while (a->beg < a->end && b->beg < b->end) {
		size_t n = line_len(a);

		if (n != line_len(b) || memcmp(a->beg, b->beg, n) != 0)
			break;
		a->beg += n;
		b->beg += n;
	}
	while (a->beg < a->end && b->beg < b->end) {
		const char *x = a->end - 1, *y = b->end - 1;

		while (x > a->beg && x[-1] != '\n')
			x--;
		while (y > b->beg && y[-1] != '\n')
			y--;
		if (a->end - x != b->end - y ||
		    memcmp(x, y, a->end - x) != 0)
			break;
		a->end = x;
		b->end = y;
	}
}

/* What of a part the other block has not, also not in another place. */
static void put_missing(struct buf *out, const char *verb, const char *set,
			struct part p, const struct buf *other)
{
	struct part all = { buf_str(other), buf_str(other) + other->len };
	struct strmap have = { 0 };

	while (p.beg < p.end && all.beg < all.end) {
		size_t n = line_len(&all);
		_cleanup_free_ char *line = xstrndup(all.beg,
						     bare_len(all.beg, n));

		strmap_put(&have, line, (void *)1);
		all.beg += n;
	}
	while (p.beg < p.end) {
		size_t n = line_len(&p);
		_cleanup_free_ char *line = xstrndup(p.beg, bare_len(p.beg, n));

		if (*line && !strmap_put(&have, line, (void *)1))
			buf_printf(out, "%s element %s { %s }\n", verb, set,
				   line);
		p.beg += n;
	}
	strmap_free(&have);
}

static void diff_block(const char *set, const struct buf *old,
		       const struct buf *new, struct buf *gone,
		       struct buf *come)
{
	struct part a = { buf_str(old), buf_str(old) + old->len };
	struct part b = { buf_str(new), buf_str(new) + new->len };

	trim(&a, &b);
	put_missing(gone, "delete", set, a, new);
	put_missing(come, "add", set, b, old);
}

char *fw_delta(const char *old, const char *new)
{
	struct rules a = { 0 }, b = { 0 };
	_cleanup_buf_ struct buf come = { 0 };
	struct buf gone = { 0 };

	read_rules(&a, old);
	read_rules(&b, new);
	if (streq(buf_str(&a.rest), buf_str(&b.rest))) {
		buf_puts(&gone, "");
		/* each set in both, perhaps empty */
		for (size_t i = 0; i < b.n; i++)
			get_block(&a, b.v[i].set, strlen(b.v[i].set));
		for (size_t i = 0; i < a.n; i++)
			diff_block(a.v[i].set, &a.v[i].lines,
				   &get_block(&b, a.v[i].set,
					      strlen(a.v[i].set))->lines,
				   &gone, &come);
		buf_puts(&gone, buf_str(&come));
	}
	rules_free(&a);
	rules_free(&b);
	return gone.s;
}
