/* SPDX-License-Identifier: MIT */
/*
 * The shadow of a view: a second schema, view_rebuild, that a rebuild fills while the
 * first one answers (sql/010-rebuild.sql).  Whatever belongs to a view stands in the
 * schema of its name, and is called with it: product_view.product.
 */
#ifndef SHADOW_H
#define SHADOW_H

#define SHADOW_SUFFIX "_rebuild"

/* `sql` about the shadow instead of the view; for free().  NULL: no memory. */
char *shadow_sql(const char *view, const char *sql);

#endif
