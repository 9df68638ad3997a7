#include "op.h"

#include <stdlib.h>
#include <string.h>

const char *const class_names[CLASS_COUNT] = {
	[CLASS_SET] = "set", [CLASS_CREATE] = "create",
	[CLASS_DELETE] = "delete", [CLASS_INTERRUPTS] = "interrupts",
};

struct op *op_new(enum op_kind kind, const char *object)
{
	struct op *op = xcalloc(1, sizeof(*op));

	op->kind = kind;
	str_put(op->object, sizeof(op->object), object);
	op->addr.valid = op->addr.preferred = KFOREVER;
	op->tun.owner = op->tun.group = KFOREVER;
	return op;
}

void op_free(struct op *op)
{
	while (op) {
		struct op *next = op->next;

		op_free(op->undo);
		free(op->sentence);
		free(op->attr);
		free(op->want);
		free(op->have);
		free(op->names.v);
		free(op->addr.raw);
		free(op->route.raw);
		free(op->path);
		free(op->value);
		free(op->backend);
		free(op->text);
		free(op->argv);
	free(op->code);
		free(op->delta);
		free(op);
		op = next;
	}
}

void plan_free(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		op_free(p->v[i]);
	for (size_t i = 0; i < p->n_refusals; i++)
		free(p->refusals[i]);
	for (size_t i = 0; i < p->n_warnings; i++)
		free(p->warnings[i]);
	free(p->v);
	free(p->refusals);
	free(p->warnings);
	*p = (struct plan){ 0 };
}

struct op *plan_add(struct plan *p, enum op_kind kind, enum op_class class,
		    const char *bridge, const char *object,
		    const char *fmt, ...)
{
	struct op *op = op_new(kind, object);
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	op->class = class;
	op->sentence = b.s;
	str_put(op->bridge, sizeof(op->bridge), bridge);
	ARRAY_GROW(p->v, p->n);
	return p->v[p->n++] = op;
}

void plan_refuse(struct plan *p, const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	ARRAY_GROW(p->refusals, p->n_refusals);
	p->refusals[p->n_refusals++] = b.s;
}

void plan_warn(struct plan *p, const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	ARRAY_GROW(p->warnings, p->n_warnings);
	p->warnings[p->n_warnings++] = b.s;
}

void op_add_undo(struct op *op, struct op *undo)
{
	undo->next = op->undo;
	op->undo = undo;
}

void op_drift(struct op *op, const char *attr, const char *want,
	      const char *have)
{
	op->attr = xstrdup(attr);
	op->want = xstrdup(want);
	op->have = xstrdup(have);
}

void op_copy_raw(uint8_t **dst, size_t *dst_len, const uint8_t *src,
		 size_t len)
{
	*dst = xcalloc(len, 1);
	*dst_len = len;
	if (len)
		memcpy(*dst, src, len);
}

void op_set_route(struct op *op, const struct kroute *r, bool replace)
{
	op->route = (struct op_route){ .dst = r->dst, .gw = r->gw,
				       .metric = r->metric,
				       .expires = r->expires,
				       .replace = replace };
	op_copy_raw(&op->route.raw, &op->route.raw_len, r->raw, r->raw_len);
}

void op_add_name(struct op *op, const char *name)
{
	ARRAY_GROW(op->names.v, op->names.n);
	str_put(op->names.v[op->names.n++], IFNAMSIZ, name);
}
