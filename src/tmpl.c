#include "tmpl.h"

#include <stdlib.h>
#include <string.h>

/* ---- views ------------------------------------------------------------ */

/* Thousands of small things that all end together. */
struct chunk {
	struct chunk *next;
	size_t used, room;
	char bytes[];
};

struct entry {
	const char *name;
	union {
		const char *text;
		struct view **v;	/* of a list */
	};
	uint32_t hash;
	uint32_t n : 31, is_list : 1;
};

struct view {
	struct entry *e;
	size_t n;
	uint64_t names;		/* a bit for each name, by its hash */
	struct view *outer;	/* while rendering */
	struct root *root;
};

/* What view_new() returns is the first member. */
struct root {
	struct view v;
	struct view yes;	/* the element of every condition that holds */
	struct chunk *chunks;
};

#define CHUNK 65536

static void *take(struct view *v, size_t size)
{
	struct chunk *c = v->root->chunks;
	void *p;

	size = (size + 7) & ~(size_t)7;
	if (!c || c->room - c->used < size) {
		size_t room = size > CHUNK ? size : CHUNK;

		c = xrealloc(NULL, sizeof(*c) + room, 1);
		*c = (struct chunk){ v->root->chunks, 0, room };
		v->root->chunks = c;
	}
	p = c->bytes + c->used;
	c->used += size;
	return p;
}

/* Room for one more of n elements: 4 at first, then three times as many. */
static void *take_more(struct view *v, void *old, size_t n, size_t size)
{
	size_t room = 4;
	void *p;

	while (room < n)
		room *= 3;
	if (n && room != n)
		return old;
	p = take(v, (n ? 3 * n : 4) * size);
	if (n)
		memcpy(p, old, n * size);
	return p;
}

struct view *view_new(void)
{
	struct root *r = xcalloc(1, sizeof(*r));

	r->v.root = r->yes.root = r;
	return &r->v;
}

void view_free(struct view *v)
{
	if (!v)
		return;
	for (struct chunk *c = v->root->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(v->root);
}

static uint64_t bit_of(uint32_t hash)
{
	return 1ull << (hash & 63);
}

static uint32_t name_hash(const char *name, size_t len)
{
	return fnv64(1, name, len);
}

static struct entry *find_here(const struct view *v, const char *name,
			       size_t len, uint32_t hash)
{
	/* what was added last is asked for first */
	for (size_t i = v->names & bit_of(hash) ? v->n : 0; i-- > 0;)
		if (v->e[i].hash == hash && strlen(v->e[i].name) == len &&
		    memcmp(v->e[i].name, name, len) == 0)
			return &v->e[i];
	return NULL;
}

static struct entry *add_entry(struct view *v, const char *name)
{
	v->e = take_more(v, v->e, v->n, sizeof(*v->e));
	v->e[v->n] = (struct entry){ .name = name,
				     .hash = name_hash(name, strlen(name)) };
	v->names |= bit_of(v->e[v->n].hash);
	return &v->e[v->n++];
}

void view_set(struct view *v, const char *name, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	char *copy = take(v, len + 1);

	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	add_entry(v, name)->text = copy;
}

void view_setf(struct view *v, const char *name, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	view_set(v, name, buf_str(&b));
}

void view_list(struct view *v, const char *name)
{
	add_entry(v, name)->is_list = true;
}

struct view *view_part(struct view *v)
{
	struct view *new = take(v, sizeof(*new));

	*new = (struct view){ .root = v->root };
	return new;
}

void view_share(struct view *v, const char *name, struct view *element)
{
	size_t len = strlen(name);
	struct entry *e = find_here(v, name, len, name_hash(name, len));

	if (!e) {
		e = add_entry(v, name);
		e->is_list = true;
	}
	e->v = take_more(v, e->v, e->n, sizeof(*e->v));
	e->v[e->n++] = element;
}

struct view *view_add(struct view *v, const char *name)
{
	struct view *new = view_part(v);

	view_share(v, name, new);
	return new;
}

void view_if(struct view *v, const char *name, bool yes)
{
	struct entry *e = add_entry(v, name);

	e->is_list = true;
	if (!yes)
		return;
	e->v = take_more(v, NULL, 0, sizeof(*e->v));
	e->v[e->n++] = &v->root->yes;
}

/* ---- templates -------------------------------------------------------- */

/* A tag, with the text before it. */
struct tag {
	const char *text;
	size_t text_len;
	const char *beg, *end;	/* with the braces, or with its whole line */
	char sigil;		/* # ^ / ! or 0 */
	const char *name;
	size_t len;
	uint32_t hash;
	size_t close;		/* of # and ^: the number of the end tag */
	size_t hint;		/* where in a view the name was found last */
};

struct render {
	const char *file, *text, *end;
	bool allowed[256];
	struct tag *tags;	/* the last is what follows all tags */
	size_t n;
	struct buf *out;
	char *error;
	size_t work;		/* tags passed so far */
};

/* 10000 guests pass some millions; lists of all within lists of all would
 * never end. */
#define MAX_WORK ((size_t)1 << 27)

static bool fail(struct render *r, const char *at, const char *fmt, ...)
	PRINTF(3, 4);
static bool fail(struct render *r, const char *at, const char *fmt, ...)
{
	struct buf b = { 0 };
	int line = 1;
	va_list ap;

	for (const char *p = r->text; p < at; p++)
		line += *p == '\n';
	buf_printf(&b, "%s:%d: ", r->file, line);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	free(r->error);
	r->error = b.s;
	return false;
}

/* A tag alone on its line swallows the line. */
static void widen(const struct render *r, struct tag *t)
{
	const char *beg = t->beg, *end = t->end;

	while (beg > r->text && (beg[-1] == ' ' || beg[-1] == '\t'))
		beg--;
	while (end < r->end && (*end == ' ' || *end == '\t'))
		end++;
	if ((beg == r->text || beg[-1] == '\n') &&
	    (end == r->end || *end == '\n')) {
		t->beg = beg;
		t->end = end < r->end ? end + 1 : end;
	}
}

/* The next tag at or after p: 1 found, 0 none, -1 error. */
static int next_tag(struct render *r, const char *p, struct tag *t)
{
	const char *close;

	t->beg = memmem(p, r->end - p, "{{", 2);
	if (!t->beg)
		return 0;
	close = memmem(t->beg, r->end - t->beg, "}}", 2);
	if (!close) {
		fail(r, t->beg, "this '{{' is not closed");
		return -1;
	}
	t->end = close + 2;
	t->name = t->beg + 2;
	t->sigil = *t->name && strchr("#^/!", *t->name) ? *t->name++ : 0;
	while (*t->name == ' ')
		t->name++;
	t->len = close - t->name;
	while (t->len && t->name[t->len - 1] == ' ')
		t->len--;
	if (t->sigil)
		widen(r, t);
	for (size_t i = 0; t->sigil != '!' && i < t->len; i++)
		if (t->name[i] != '_' && (t->name[i] < 'a' ||
					  t->name[i] > 'z') &&
		    (t->name[i] < '0' || t->name[i] > '9'))
			t->len = i;	/* and then it is no known name */
	t->hash = name_hash(t->name, t->len);
	return 1;
}

static bool same_name(const struct tag *a, const struct tag *b)
{
	return a->len == b->len && memcmp(a->name, b->name, a->len) == 0;
}

/* Cuts the template into its tags, and finds the end of each section. */
static bool compile(struct render *r)
{
	size_t open[16], depth = 0;
	const char *p = r->text;

	for (;;) {
		struct tag t = { .text = p };
		int rc = next_tag(r, p, &t);

		if (rc < 0)
			return false;
		t.text_len = (rc ? t.beg : r->end) - p;
		if (t.sigil == '/') {
			struct tag *o = depth ? &r->tags[open[--depth]] : NULL;

			if (!o)
				return fail(r, t.beg, "'%.*s' was not opened",
					    (int)t.len, t.name);
			if (!same_name(o, &t))
				return fail(r, t.beg, "section '%.*s' is "
					    "closed by '%.*s'", (int)o->len,
					    o->name, (int)t.len, t.name);
			o->close = r->n;
		} else if (t.sigil == '#' || t.sigil == '^') {
			if (depth == N_ELEMENTS(open))
				return fail(r, t.beg, "sections are nested "
					    "too deeply");
			open[depth++] = r->n;
		}
		ARRAY_GROW(r->tags, r->n);
		r->tags[r->n++] = t;
		if (!rc)
			break;
		p = t.end;
	}
	if (depth)
		return fail(r, r->tags[open[depth - 1]].beg, "section '%.*s' "
			    "is not closed", (int)r->tags[open[depth - 1]].len,
			    r->tags[open[depth - 1]].name);
	return true;
}

static bool is_named(const struct entry *e, const struct tag *t)
{
	return e->hash == t->hash && strlen(e->name) == t->len &&
	       memcmp(e->name, t->name, t->len) == 0;
}

/* Elements of a list look alike: the name is where it was in the last one. */
static const struct entry *find(const struct view *v, struct tag *t)
{
	for (; v; v = v->outer) {
		const struct entry *e;

		if (!(v->names & bit_of(t->hash)))
			continue;
		if (t->hint < v->n && is_named(&v->e[t->hint], t))
			return &v->e[t->hint];
		e = find_here(v, t->name, t->len, t->hash);
		if (e) {
			t->hint = e - v->e;
			return e;
		}
	}
	return NULL;
}

static bool put_value(struct render *r, struct tag *t, const struct view *v)
{
	const struct entry *e = find(v, t);
	const char *c;

	if (!e || e->is_list)
		return fail(r, t->beg, "unknown name '%.*s'", (int)t->len,
			    t->name);
	for (c = e->text; *c; c++)
		if (!r->allowed[(uint8_t)*c])
			return fail(r, t->beg, "the value of '%.*s' has a "
				    "character that is not safe here",
				    (int)t->len, t->name);
	buf_add(r->out, e->text, c - e->text);
	return true;
}

/* A list within itself would make a view its own outer one. */
static bool is_inside(const struct view *v, const struct view *in)
{
	while (v && v != in)
		v = v->outer;
	return v;
}

/* The tags from i up to (not with) end. */
static bool render(struct render *r, size_t i, size_t end, struct view *v)
{
	for (; i < end; i++) {
		struct tag *t = &r->tags[i];
		const struct entry *e;

		if (++r->work > MAX_WORK)
			return fail(r, t->beg, "this makes too much work: "
				    "lists are nested in lists");
		buf_add(r->out, t->text, t->text_len);
		if (!t->sigil && t->beg && !put_value(r, t, v))
			return false;
		if (t->sigil != '#' && t->sigil != '^')
			continue;
		e = find(v, t);
		if (!e || !e->is_list)
			return fail(r, t->beg, "unknown section '%.*s'",
				    (int)t->len, t->name);
		if (t->sigil == '^' && !e->n &&
		    !render(r, i + 1, t->close + 1, v))
			return false;
		for (size_t k = 0; t->sigil == '#' && k < e->n; k++) {
			struct view *in = e->v[k];

			/* the same one may stand within itself */
			if (in == &v->root->yes)
				in = v;
			else if (is_inside(v, in))
				return fail(r, t->beg, "section '%.*s' stands "
					    "within itself", (int)t->len,
					    t->name);
			else
				in->outer = v;
			if (!render(r, i + 1, t->close + 1, in))
				return false;
		}
		i = t->close;
	}
	return true;
}

bool tmpl_render(const char *file, const char *text, const char *allowed,
		 struct view *v, struct buf *out, char **error)
{
	struct render r = { .file = file, .text = text,
			    .end = text + strlen(text), .out = out };
	bool ok;

	for (int c = 1; c < 256; c++)
		r.allowed[c] = (c >= '0' && c <= '9') ||
			       (c >= 'a' && c <= 'z') ||
			       (c >= 'A' && c <= 'Z') || strchr(allowed, c);
	v->outer = v == &v->root->v ? NULL : &v->root->v;
	ok = compile(&r) && render(&r, 0, r.n, v);
	free(r.tags);
	*error = r.error;
	return ok;
}
