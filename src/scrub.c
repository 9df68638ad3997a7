#include "scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_CONFIG (16u << 20)

/* Everything that is not white space, a comment, or punctuation. */
static const bool word_chars[256] = {
	['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true,
	['.'] = true, ['_'] = true, ['-'] = true, [':'] = true, ['/'] = true,
	['@'] = true, ['%'] = true,
};

static struct src at(const struct scrubbed *s, int line)
{
	return (struct src){ s->file, line };
}

static bool word_char(char c)
{
	return word_chars[(uint8_t)c];
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
		} else if (word_char(c) || c == ' ' ||
			   (c && strchr("\t{}=,+", c))) {
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
	const char *text;	/* of a word, unquoted */
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
	char *t = c->s->text, *words = c->s->words;
	size_t len = c->s->len;

	c->t.text = NULL;
	while (c->i < len && (t[c->i] == ' ' || t[c->i] == '\t' ||
			      t[c->i] == '\n')) {
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
		c->t.text = words + c->i + 1;
		words[close - t] = '\0';
		c->i = close - t + 1;
	} else if (word_char(t[c->i])) {
		c->t.kind = 'w';
		while (c->i < len && word_char(t[c->i]))
			c->i++;
		c->t.text = words + c->t.beg;
		words[c->i] = '\0';
	} else {
		c->t.kind = t[c->i++];
	}
	c->t.end = c->i;
}

static size_t add_item(struct scan *c, const char *section, const char *title,
		       const struct tok *key)
{
	struct scrubbed *s = c->s;

	ARRAY_GROW(s->items, s->n_items);
	s->items[s->n_items] = (struct scan_item){
		.src = { s->file, key->line }, .section = section,
		.title = title, .key = key->text, .beg = key->beg,
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
	const struct scan_item *it = &c->s->items[item];
	const char *inner = it->key, *inner_title = *section ? title : it->name;
	int line = it->src.line;

	if (*section) {
		_cleanup_free_ char *both = xasprintf("%s/%s", section,
						      it->key);

		inner = list_add(&c->s->inner, both, it->src)->text;
	}
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
		struct tok key = c->t, name;
		size_t item;

		next_tok(c);
		if (key.kind != 'w')
			continue;
		if (c->t.kind == '=' || c->t.kind == '+') {
			item = add_item(c, section, title, &key);
			c->s->items[item].append = c->t.kind == '+';
			next_tok(c);
			if (c->t.kind == '=')
				next_tok(c);
			c->s->items[item].end = scan_value(c);
		} else if (c->t.kind == '{') {
			item = add_item(c, section, title, &key);
			c->s->items[item].name = "";
			scan_section(c, item, section, title);
		} else if (c->t.kind == 'w') {
			name = c->t;
			next_tok(c);
			if (c->t.kind != '{')
				continue;
			item = add_item(c, section, title, &key);
			c->s->items[item].name = name.text;
			c->s->items[item].name_beg = name.beg;
			c->s->items[item].name_end = name.end;
			scan_section(c, item, section, title);
		}
	}
}

void scrub_text(const char *file, const char *text, size_t len,
		struct scrubbed *out)
{
	struct scan c = { .s = out, .line = 1 };

	*out = (struct scrubbed){ .file = diag_source(file, text, len),
				  .text = xcalloc(len + 2, 1),
				  .words = xcalloc(len + 2, 1), .len = len };
	memcpy(out->text, text, len);
	clean_bytes(out);
	memcpy(out->words, out->text, len);
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

static void blank(struct scrubbed *s, size_t beg, size_t end)
{
	for (size_t i = beg; i < end && i < s->len; i++)
		if (s->text[i] != '\n')
			s->text[i] = ' ';
}

void scrub_blank(struct scrubbed *s, const struct scan_item *it)
{
	blank(s, it->beg, it->end);
}

void scrub_blank_name(struct scrubbed *s, const struct scan_item *it)
{
	blank(s, it->name_beg, it->name_end);
}

void scrub_free(struct scrubbed *s)
{
	free(s->items);
	free(s->text);
	free(s->words);
	list_free(&s->inner);
	*s = (struct scrubbed){ 0 };
}
