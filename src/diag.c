#include "diag.h"

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

struct source {
	char *file;
	char *text;
	size_t len;
};

struct complaint {
	struct src src;
	size_t order;
	bool warning;
	char *word;
	char *text;
};

static struct source *sources;
static size_t n_sources;
static struct complaint *complaints;
static size_t n_complaints;
static unsigned int n_errors;
static struct src *spoiled;
static size_t n_spoiled;

const char *diag_program = "netbr";
bool diag_quiet, diag_verbose;

const char *diag_source(const char *file, const char *text, size_t len)
{
	struct source *s;

	ARRAY_GROW(sources, n_sources);
	s = &sources[n_sources++];
	s->file = xstrdup(file);
	s->text = xcalloc(len + 1, 1);
	memcpy(s->text, text, len);
	s->len = len;
	return s->file;
}

static void __attribute__((nonnull(4))) PRINTF(4, 0) complain(bool warning, struct src src,
				  const char *word, const char *fmt,
				  va_list ap)
{
	struct buf b = { 0 };
	struct complaint *c;

	for (size_t i = 0; i < n_spoiled; i++)
		if (spoiled[i].file == src.file && spoiled[i].line == src.line)
			return;
	ARRAY_GROW(complaints, n_complaints);
	c = &complaints[n_complaints];
	buf_vprintf(&b, fmt, ap);
	*c = (struct complaint){
		.src = src, .order = n_complaints, .warning = warning,
		.word = word ? xstrdup(word) : NULL, .text = b.s,
	};
	n_complaints++;
	if (!warning)
		n_errors++;
}

void diag_error(struct src src, const char *word, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(false, src, word, fmt, ap);
	va_end(ap);
}

void diag_warning(struct src src, const char *word, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(true, src, word, fmt, ap);
	va_end(ap);
}

void diag_spoil(struct src src)
{
	ARRAY_GROW(spoiled, n_spoiled);
	spoiled[n_spoiled++] = src;
}

unsigned int diag_errors(void)
{
	return n_errors;
}

static size_t source_index(const char *file)
{
	for (size_t i = 0; i < n_sources; i++)
		if (sources[i].file == file)
			return i;
	return n_sources;
}

static int complaint_order(const void *pa, const void *pb)
{
	const struct complaint *a = pa, *b = pb;
	size_t fa = source_index(a->src.file), fb = source_index(b->src.file);

	if (fa != fb)
		return fa < fb ? -1 : 1;
	if (a->src.line != b->src.line)
		return a->src.line < b->src.line ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* The line numbered n (from 1) of a source; *len is 0 when there is none. */
static const char *source_line(const struct source *s, int n, size_t *len)
{
	const char *p = s->text, *end = s->text + s->len, *nl;

	while (--n > 0 && p < end) {
		nl = memchr(p, '\n', end - p);
		p = nl ? nl + 1 : end;
	}
	nl = memchr(p, '\n', end - p);
	*len = (nl ? nl : end) - p;
	if (*len && p[*len - 1] == '\r')
		--*len;
	return p;
}

/* Where in the line the word stands; prefers what follows a '='. */
static size_t word_column(const char *line, size_t len, const char *word)
{
	const char *eq = memchr(line, '=', len), *hit = NULL;

	if (eq)
		hit = memmem(eq, len - (eq - line), word, strlen(word));
	if (!hit)
		hit = memmem(line, len, word, strlen(word));
	return hit ? (size_t)(hit - line) : len;
}

/* Prints the line itself, its control characters made visible as '?', and a
 * caret with a tilde for each further character of the word. */
static void quote_line(FILE *to, const struct complaint *c)
{
	size_t i = source_index(c->src.file), len, col, wlen;
	const char *line;

	if (i == n_sources || !c->src.line)
		return;
	line = source_line(&sources[i], c->src.line, &len);
	if (!len || len > 400)
		return;
	fputs("    ", to);
	for (size_t k = 0; k < len; k++) {
		unsigned char ch = line[k];

		putc(ch == '\t' ? ' ' : ch < 32 || ch == 127 ? '?' : ch, to);
	}
	putc('\n', to);
	if (!c->word || !*c->word)
		return;
	col = word_column(line, len, c->word);
	if (col == len)
		return;
	fprintf(to, "    %*s^", (int)col, "");
	wlen = strlen(c->word);
	for (size_t k = 1; k < wlen && col + k < len; k++)
		putc('~', to);
	putc('\n', to);
}

void diag_print(FILE *to, bool quiet)
{
	if (n_complaints)
		qsort(complaints, n_complaints, sizeof(*complaints),
		      complaint_order);
	for (size_t i = 0; i < n_complaints; i++) {
		struct complaint *c = &complaints[i];

		if (!(quiet && c->warning)) {
			if (c->src.file && c->src.line)
				fprintf(to, "%s:%d: ", c->src.file,
					c->src.line);
			else if (c->src.file)
				fprintf(to, "%s: ", c->src.file);
			fprintf(to, "%s%s\n", c->warning ? "warning: " : "",
				c->text);
			quote_line(to, c);
		}
		free(c->word);
		free(c->text);
	}
	free(complaints);
	complaints = NULL;
	n_complaints = 0;
}

void diag_reset(void)
{
	for (size_t i = 0; i < n_complaints; i++) {
		free(complaints[i].word);
		free(complaints[i].text);
	}
	free(complaints);
	complaints = NULL;
	n_complaints = 0;
	for (size_t i = 0; i < n_sources; i++) {
		free(sources[i].file);
		free(sources[i].text);
	}
	free(sources);
	sources = NULL;
	n_sources = 0;
	free(spoiled);
	spoiled = NULL;
	n_spoiled = 0;
	n_errors = 0;
}

static bool to_syslog;

void diag_syslog(void)
{
	openlog(diag_program, LOG_PID, LOG_DAEMON);
	to_syslog = true;
}

static void PRINTF(2, 0) message(const char *kind, const char *fmt, va_list ap)
{
	if (to_syslog) {
		vsyslog(*kind ? LOG_WARNING : LOG_NOTICE, fmt, ap);
		return;
	}
	fprintf(stderr, "%s: %s", diag_program, kind);
	vfprintf(stderr, fmt, ap);
	putc('\n', stderr);
}

#define MESSAGE(kind) \
	do { \
		va_list ap; \
		va_start(ap, fmt); \
		message(kind, fmt, ap); \
		va_end(ap); \
	} while (0)

void msg_error(const char *fmt, ...)
{
	MESSAGE("");
}

void msg_warn(const char *fmt, ...)
{
	MESSAGE("warning: ");
}

void msg_info(const char *fmt, ...)
{
	if (!diag_quiet)
		MESSAGE("");
}

void msg_debug(const char *fmt, ...)
{
	if (diag_verbose)
		MESSAGE("");
}
