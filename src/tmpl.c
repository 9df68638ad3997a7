#include "tmpl.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	char *name;
	char *text;		/* NULL: a list */
	struct view **v;
	size_t n;
};

struct view {
	struct entry *e;
	size_t n;
	struct view *outer;	/* while rendering */
};

struct view *view_new(void)
{
	return xcalloc(1, sizeof(struct view));
}

void view_free(struct view *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->n; i++) {
		for (size_t k = 0; k < v->e[i].n; k++)
			view_free(v->e[i].v[k]);
		free(v->e[i].v);
		free(v->e[i].name);
		free(v->e[i].text);
	}
	free(v->e);
	free(v);
}

static struct entry *find_here(const struct view *v, const char *name,
			       size_t len)
{
	for (size_t i = 0; i < v->n; i++)
		if (strlen(v->e[i].name) == len &&
		    memcmp(v->e[i].name, name, len) == 0)
			return &v->e[i];
	return NULL;
}

static struct entry *add_entry(struct view *v, const char *name)
{
	ARRAY_GROW(v->e, v->n);
	v->e[v->n] = (struct entry){ .name = xstrdup(name) };
	return &v->e[v->n++];
}

void view_set(struct view *v, const char *name, const char *text)
{
	add_entry(v, name)->text = xstrdup(text ? text : "");
}

void view_setf(struct view *v, const char *name, const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	add_entry(v, name)->text = b.s;
}

void view_list(struct view *v, const char *name)
{
	add_entry(v, name);
}

struct view *view_add(struct view *v, const char *name)
{
	struct entry *e = find_here(v, name, strlen(name));

	if (!e)
		e = add_entry(v, name);
	ARRAY_GROW(e->v, e->n);
	return e->v[e->n++] = view_new();
}

void view_if(struct view *v, const char *name, bool yes)
{
	if (yes)
		view_add(v, name);
	else
		view_list(v, name);
}

static struct entry *find(const struct view *v, const char *name, size_t len)
{
	for (; v; v = v->outer) {
		struct entry *e = find_here(v, name, len);

		if (e)
			return e;
	}
	return NULL;
}

struct render {
	const char *file, *text, *end, *allowed;
	struct buf *out;
	char *error;
};

struct tag {
	const char *beg, *end;	/* with the braces, or with its whole line */
	char sigil;		/* # ^ / ! or 0 */
	const char *name;
	size_t len;
};

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
	if (t->sigil == '!') {
		widen(r, t);
		return 1;
	}
	for (size_t i = 0; i < t->len; i++)
		if (t->name[i] != '_' && (t->name[i] < 'a' ||
					  t->name[i] > 'z') &&
		    (t->name[i] < '0' || t->name[i] > '9'))
			t->len = i;	/* and then it is no known name */
	if (t->sigil)
		widen(r, t);
	return 1;
}

static bool put_value(struct render *r, const struct tag *t,
		      const struct view *v)
{
	const struct entry *e = find(v, t->name, t->len);

	if (!e || !e->text)
		return fail(r, t->beg, "unknown name '%.*s'", (int)t->len,
			    t->name);
	for (const char *c = e->text; *c; c++) {
		bool alnum = (*c >= '0' && *c <= '9') ||
			     (*c >= 'a' && *c <= 'z') ||
			     (*c >= 'A' && *c <= 'Z');

		if (!alnum && !strchr(r->allowed, *c))
			return fail(r, t->beg, "the value of '%.*s' has a "
				    "character that is not safe here",
				    (int)t->len, t->name);
	}
	buf_puts(r->out, e->text);
	return true;
}

/* Finds the end tag that matches an opening one. */
static bool find_close(struct render *r, const struct tag *open,
		       struct tag *close)
{
	const char *p = open->end;
	int depth = 1, rc;

	while ((rc = next_tag(r, p, close)) > 0) {
		p = close->end;
		if (close->sigil == '#' || close->sigil == '^')
			depth++;
		else if (close->sigil == '/' && --depth == 0)
			break;
	}
	if (rc < 0)
		return false;
	if (!rc)
		return fail(r, open->beg, "section '%.*s' is not closed",
			    (int)open->len, open->name);
	if (close->len != open->len ||
	    memcmp(close->name, open->name, open->len) != 0)
		return fail(r, close->beg, "section '%.*s' is closed by "
			    "'%.*s'", (int)open->len, open->name,
			    (int)close->len, close->name);
	return true;
}

static bool render(struct render *r, const char *p, const char *end,
		   struct view *v);

static bool render_section(struct render *r, const struct tag *open,
			   const struct tag *close, struct view *v)
{
	const struct entry *e = find(v, open->name, open->len);

	if (!e || e->text)
		return fail(r, open->beg, "unknown section '%.*s'",
			    (int)open->len, open->name);
	if (open->sigil == '^')
		return e->n || render(r, open->end, close->beg, v);
	for (size_t i = 0; i < e->n; i++) {
		e->v[i]->outer = v;
		if (!render(r, open->end, close->beg, e->v[i]))
			return false;
	}
	return true;
}

static bool render(struct render *r, const char *p, const char *end,
		   struct view *v)
{
	struct tag t, close;
	int rc;

	while (p < end && (rc = next_tag(r, p, &t)) != 0 && t.beg < end) {
		if (rc < 0)
			return false;
		buf_add(r->out, p, t.beg - p);
		p = t.end;
		if (t.sigil == '!')
			continue;
		if (t.sigil == '/')
			return fail(r, t.beg, "'%.*s' was not opened",
				    (int)t.len, t.name);
		if (!t.sigil) {
			if (!put_value(r, &t, v))
				return false;
			continue;
		}
		if (!find_close(r, &t, &close) ||
		    !render_section(r, &t, &close, v))
			return false;
		p = close.end;
	}
	if (p < end)
		buf_add(r->out, p, end - p);
	return true;
}

bool tmpl_render(const char *file, const char *text, const char *allowed,
		 struct view *v, struct buf *out, char **error)
{
	struct render r = { .file = file, .text = text,
			    .end = text + strlen(text), .allowed = allowed,
			    .out = out };
	bool ok;

	v->outer = NULL;
	ok = render(&r, text, r.end, v);
	*error = r.error;
	return ok;
}
