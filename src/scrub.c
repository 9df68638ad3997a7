#include "scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_CONFIG (16u << 20)

/* Everything that is not white space, a comment, or punctuation. */
#define WORD_CHARS \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" \
	"._-:/@%"

static struct src at(const struct scrubbed *s, int line)
{
	return (struct src){ s->file, line };
}

static bool word_char(char c)
{
	return c && strchr(WORD_CHARS, c);
}

/* ---- first pass: bytes ------------------------------------------------ */

struct pass {
	struct scrubbed *s;
	size_t i;
	int line;
};

static void refuse(struct pass *p, const char *word, const char *what)
{
	diag_error(at(p->s, p->line), word, "%s", what);
	diag_spoil(at(p->s, p->line));
}

/* A quoted string: from the quote at p->i to behind its end. */
static void pass_string(struct pass *p)
{
	char *t = p->s->text, quote = t[p->i++];

	for (; p->i < p->s->len; p->i++) {
		char c = t[p->i];

		if (c == '\n')
			break;
		if (c == quote) {
			p->i++;
			return;
		}
		if (c == '\\') {
			refuse(p, "\\", "a backslash is not supported inside "
			       "quotes: leave it out");
			t[p->i] = '_';
		} else if (c == '$' && t[p->i + 1] == '{') {
			refuse(p, "${", "'${...}' is not expanded here (the "
			       "environment differs between boot and shell): "
			       "write the value itself");
			t[p->i] = '_';
		} else if ((unsigned char)c < 32 || c == 127) {
			refuse(p, NULL, "control character inside quotes");
			t[p->i] = '_';
		}
	}
	refuse(p, (char[]){ quote, 0 },
	       "this quote is not closed on its line");
	/* so that the rest of the file can still be judged */
	if (p->i > 0 && p->i <= p->s->len && t[p->i - 1] != quote)
		t[p->i - 1] = quote;
}

static void pass_line_comment(struct pass *p)
{
	while (p->i < p->s->len && p->s->text[p->i] != '\n')
		p->s->text[p->i++] = ' ';
}

static void pass_block_comment(struct pass *p)
{
	char *t = p->s->text;
	int first = p->line;

	while (p->i < p->s->len) {
		if (t[p->i] == '*' && t[p->i + 1] == '/' && p->i + 1 < p->s->len) {
			t[p->i] = t[p->i + 1] = ' ';
			p->i += 2;
			return;
		}
		if (t[p->i] == '\n')
			p->line++;
		else
			t[p->i] = ' ';
		p->i++;
	}
	diag_error(at(p->s, first), "/*", "this comment is never closed");
}

static void pass_stray(struct pass *p)
{
	char *t = p->s->text, c = t[p->i], text[64];

	if (c == '\r' && t[p->i + 1] == '\n') {
		t[p->i++] = ' ';	/* a CRLF file is as good as any */
		return;
	}
	if (c == ';')
		refuse(p, ";", "';' is not needed: a line ends a setting");
	else if (c == '$')
		refuse(p, "$", "'$' is not expanded here: write the value "
		       "itself");
	else if ((unsigned char)c >= 128)
		refuse(p, NULL, "non-ASCII character outside a comment");
	else if ((unsigned char)c < 32 || c == 127)
		refuse(p, NULL, c ? "control character" : "NUL byte");
	else {
		snprintf(text, sizeof(text), "stray character '%c'", c);
		refuse(p, (char[]){ c, 0 }, text);
	}
	t[p->i++] = ' ';
}

/* Comments become blanks, everything else is accepted or refused. */
static void clean_bytes(struct scrubbed *s)
{
	struct pass p = { .s = s, .line = 1 };
	char *t = s->text;

	if (s->len >= 3 && memcmp(t, "\xef\xbb\xbf", 3) == 0)
		memset(t, ' ', 3);	/* a byte order mark */
	while (p.i < s->len) {
		char c = t[p.i];

		if (c == '\n') {
			p.line++;
			p.i++;
		} else if (c == '#' || (c == '/' && t[p.i + 1] == '/')) {
			pass_line_comment(&p);
		} else if (c == '/' && t[p.i + 1] == '*') {
			pass_block_comment(&p);
		} else if (c == '"' || c == '\'') {
			pass_string(&p);
		} else if (word_char(c) || (c && strchr(" \t{}=,+", c))) {
			p.i++;
		} else {
			pass_stray(&p);
		}
	}
}

/* ---- second pass: structure ------------------------------------------- */

struct tok {
	char kind;	/* 'w' word or string, punctuation itself, 0 at end */
	size_t beg, end;
	int line;
	char *text;	/* of a word, unquoted; owned by the scan */
};

struct scan {
	struct scrubbed *s;
	size_t i;
	int line;
	struct tok t;
	unsigned int depth;
};

static void next_tok(struct scan *c)
{
	char *t = c->s->text;
	size_t len = c->s->len;

	free(c->t.text);
	c->t.text = NULL;
	while (c->i < len && strchr(" \t\n", t[c->i])) {
		if (t[c->i] == '\n')
			c->line++;
		c->i++;
	}
	c->t.beg = c->i;
	c->t.line = c->line;
	if (c->i >= len) {
		c->t.kind = 0;
	} else if (t[c->i] == '"' || t[c->i] == '\'') {
		const char *close = memchr(t + c->i + 1, t[c->i],
					   len - c->i - 1);

		if (!close)
			close = t + len - 1;
		c->t.kind = 'w';
		c->t.text = xstrndup(t + c->i + 1, close - t - c->i - 1);
		c->i = close - t + 1;
	} else if (word_char(t[c->i])) {
		c->t.kind = 'w';
		while (c->i < len && word_char(t[c->i]))
			c->i++;
		c->t.text = xstrndup(t + c->t.beg, c->i - c->t.beg);
	} else {
		c->t.kind = t[c->i++];
	}
	c->t.end = c->i;
}

static size_t add_item(struct scan *c, const char *section, const char *title,
		       const char *key, int line, size_t beg)
{
	struct scrubbed *s = c->s;

	ARRAY_GROW(s->items, s->n_items);
	s->items[s->n_items] = (struct scan_item){
		.src = { s->file, line }, .section = xstrdup(section),
		.title = xstrdup(title), .key = xstrdup(key), .beg = beg,
	};
	return s->n_items++;
}

static void scan_body(struct scan *c, const char *section, const char *title);

/* The value behind '=': a word, or a list in braces. */
static size_t scan_value(struct scan *c)
{
	size_t end = c->t.end;

	if (c->t.kind == 'w') {
		next_tok(c);
		return end;
	}
	if (c->t.kind != '{')
		return end;
	while (c->t.kind && c->t.kind != '}')
		next_tok(c);
	end = c->t.end;
	if (c->t.kind)
		next_tok(c);
	return end;
}

static void scan_section(struct scan *c, size_t item, const char *section,
			 const char *title)
{
	_cleanup_free_ char *inner = NULL;
	struct scan_item *it = &c->s->items[item];
	_cleanup_free_ char *inner_title = xstrdup(*section ? title : it->name);
	int line = it->src.line;

	inner = *section ? xasprintf("%s/%s", section, it->key)
			 : xstrdup(it->key);
	next_tok(c);
	if (++c->depth > 8)
		return;
	scan_body(c, inner, inner_title);
	c->depth--;
	c->s->items[item].end = c->t.end;
	if (c->t.kind == '}')
		next_tok(c);
	else
		diag_error(at(c->s, line), c->s->items[item].key,
			   "section '%s' is never closed: '}' is missing",
			   inner);
}

/* key = value | key += value | type [title] { ... }; whatever does not look
 * like one is left to libconfuse to refuse. */
static void scan_body(struct scan *c, const char *section, const char *title)
{
	while (c->t.kind && c->t.kind != '}') {
		_cleanup_free_ char *key = NULL;
		size_t beg = c->t.beg, item;
		int line = c->t.line;

		if (c->t.kind != 'w') {
			next_tok(c);
			continue;
		}
		key = steal(&c->t.text);
		next_tok(c);
		if (c->t.kind == '=' || c->t.kind == '+') {
			item = add_item(c, section, title, key, line, beg);
			c->s->items[item].append = c->t.kind == '+';
			next_tok(c);
			if (c->t.kind == '=')
				next_tok(c);
			c->s->items[item].end = scan_value(c);
		} else if (c->t.kind == '{') {
			item = add_item(c, section, title, key, line, beg);
			c->s->items[item].name = xstrdup("");
			scan_section(c, item, section, title);
		} else if (c->t.kind == 'w') {
			char *name = steal(&c->t.text);

			next_tok(c);
			if (c->t.kind != '{') {
				free(name);
				continue;
			}
			item = add_item(c, section, title, key, line, beg);
			c->s->items[item].name = name;
			scan_section(c, item, section, title);
		}
	}
}

void scrub_text(const char *file, const char *text, size_t len,
		struct scrubbed *out)
{
	struct scan c = { .s = out, .line = 1 };

	*out = (struct scrubbed){ .file = diag_source(file, text, len),
				  .text = xcalloc(len + 2, 1), .len = len };
	memcpy(out->text, text, len);
	clean_bytes(out);
	next_tok(&c);
	while (c.t.kind) {
		scan_body(&c, "", "");
		if (c.t.kind == '}') {
			diag_error(at(out, c.t.line), "}",
				   "this '}' closes nothing");
			out->text[c.t.beg] = ' ';
			next_tok(&c);
		}
	}
	free(c.t.text);
}

/* Is this a file that root may believe? */
static bool trustworthy(struct src src, const struct stat *st)
{
	if (S_ISDIR(st->st_mode)) {
		diag_error(src, NULL, "is a directory, not a file");
	} else if (!S_ISREG(st->st_mode)) {
		diag_error(src, NULL, "is not a regular file");
	} else if (st->st_uid != 0 && st->st_uid != geteuid()) {
		diag_error(src, NULL, "belongs to user %u, who could make "
			   "root do anything: chown root %s",
			   (unsigned int)st->st_uid, src.file);
	} else if (st->st_mode & 022) {
		diag_error(src, NULL, "can be written by others (mode %04o): "
			   "chmod go-w %s",
			   (unsigned int)(st->st_mode & 07777), src.file);
	} else if (st->st_size > (off_t)MAX_CONFIG) {
		diag_error(src, NULL, "is larger than 16 MiB");
	} else {
		return true;
	}
	return false;
}

bool scrub_file(const char *path, struct scrubbed *out)
{
	struct src src = { .file = diag_source(path, "", 0) };
	_cleanup_buf_ struct buf b = { 0 };
	/* O_NONBLOCK: a FIFO must get an answer too */
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st) < 0) {
		diag_error(src, NULL, "can't be read: %s", strerror(errno));
		return false;
	}
	if (!trustworthy(src, &st))
		return false;
	rc = buf_read_fd(&b, fd, MAX_CONFIG);
	if (rc < 0) {
		diag_error(src, NULL, "can't be read: %s", strerror(-rc));
		return false;
	}
	scrub_text(path, buf_str(&b), b.len, out);
	return true;
}

void scrub_blank(struct scrubbed *s, const struct scan_item *it)
{
	for (size_t i = it->beg; i < it->end && i < s->len; i++)
		if (s->text[i] != '\n')
			s->text[i] = ' ';
}

void scrub_free(struct scrubbed *s)
{
	for (size_t i = 0; i < s->n_items; i++) {
		free(s->items[i].section);
		free(s->items[i].title);
		free(s->items[i].key);
		free(s->items[i].name);
	}
	free(s->items);
	free(s->text);
	*s = (struct scrubbed){ 0 };
}
