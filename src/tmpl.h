/* The strict template renderer. Pure: text and a view in, text out.
 *
 *   {{name}}              the value, which must be made of the target's
 *                         harmless characters
 *   {{#list}}..{{/list}}  once for each element (an element's names hide
 *                         the outer ones)
 *   {{^list}}..{{/list}}  once if the list is empty
 *   {{! remark}}          nothing
 *
 * A tag other than {{name}} that is alone on its line takes the line with
 * it. An unknown name is an error, never empty text. */
#ifndef NETBR_TMPL_H
#define NETBR_TMPL_H

#include "util.h"

struct view;

/* A view owns the texts and elements put into it; view_free() takes the one
 * that view_new() made. Names are borrowed: literals. */
struct view *view_new(void);
void view_free(struct view *v);
/* Names a text; a NULL text is "". */
void view_set(struct view *v, const char *name, const char *text);
void view_setf(struct view *v, const char *name, const char *fmt, ...)
	PRINTF(3, 4);
/* Names a list (once, empty); then adds elements to it. */
void view_list(struct view *v, const char *name);
struct view *view_add(struct view *v, const char *name);
/* A view for view_share(), which belongs to the same view_new(). */
struct view *view_part(struct view *v);
/* Adds to a list what is in another one already, or comes of view_part(). */
void view_share(struct view *v, const char *name, struct view *element);
/* A list of one empty element, or of none: a condition. */
void view_if(struct view *v, const char *name, bool yes);

/* Renders a template. `file` names it in errors; `allowed` holds the
 * characters that values may have beside letters and digits. Returns true,
 * or false with *error set (owned by the caller, "file:line: ..."). */
bool tmpl_render(const char *file, const char *text, const char *allowed,
		 struct view *v, struct buf *out, char **error);

#endif
