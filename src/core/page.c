/* SPDX-License-Identifier: MIT */
/* Which part of a list a request wants, and how to ask for the next. */
#include "page.h"

#include "url.h"

#include <inttypes.h>
#include <stdio.h>

static bool refuse(struct param_error *error, const char *param, const char *text)
{
	snprintf(error->param, sizeof error->param, "%s", param);
	snprintf(error->text, sizeof error->text, "%s", text);
	return false;
}

bool page_init(struct page *page, const struct cqrs_request *req, bool paged, enum media_type media,
               struct param_error *error)
{
	bool limit = param_core_given(req, PARAM_LIMIT),
	     cursor = param_core_given(req, PARAM_CURSOR);
	bool numbered = param_core_given(req, PARAM_PAGE) || param_core_given(req, PARAM_PAGE_SIZE);
	*page = (struct page){.paged = paged};
	if (!paged)
		return true;
	page->counted = param_core_given(req, PARAM_COUNT);
	if (numbered && cursor)
		return refuse(error, "cursor",
		              "give either a cursor (with limit) or a page (with "
		              "page_size), not both");
	if (numbered && limit)
		return refuse(error, "limit", "pages have page_size instead of limit");
	page->stream = media != MEDIA_JSON && !numbered && !cursor && !limit;
	if (page->stream)
		return true;
	page->limit = param_core(req, numbered ? PARAM_PAGE_SIZE : PARAM_LIMIT)->i;
	if (numbered) {
		const struct cqrs_value *number = param_core(req, PARAM_PAGE);
		page->number = number->is_null ? 1 : number->i;
		page->offset = (page->number - 1) * page->limit;
	}
	return true;
}

/* Whether a piece of a query string, as it was sent, gives the parameter `name`; without memory
 * `out` fails. */
static bool gives(const char *piece, size_t len, const char *name, struct buf *scratch,
                  struct buf *out)
{
	const char *found, *value;
	buf_clear(scratch);
	buf_add(scratch, piece, len);
	buf_str(scratch);
	if (scratch->failed) {
		out->failed = true;
		return false;
	}
	char *rest = scratch->data;
	return url_query_next(&rest, &found, &value) == URL_PAIR && !strcmp(found, name);
}

/* Between < and > of a Link header nothing may end the reference. */
static void put_piece(struct buf *out, const char *piece, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (piece[i] <= ' ' || strchr("<>\"\\^`{|}", piece[i]) || piece[i] == 0x7f)
			buf_printf(out, "%%%02X", (unsigned char)piece[i]);
		else
			buf_putc(out, piece[i]);
	}
}

void page_link(const struct page *page, struct buf *out, const char *path, const char *query,
               const char *cursor)
{
	struct buf scratch = BUF_INIT;
	const char *replaced = page->number ? "page" : "cursor";
	buf_putc(out, '<');
	url_encode_path(out, path);
	buf_putc(out, '?');
	for (size_t len; *query; query += len + (query[len] == '&')) {
		len = strcspn(query, "&");
		if (!len || gives(query, len, replaced, &scratch, out))
			continue;
		put_piece(out, query, len);
		buf_putc(out, '&');
	}
	if (page->number)
		buf_printf(out, "page=%" PRId64, page->number + 1);
	else
		buf_printf(out, "cursor=%s", cursor);
	buf_puts(out, ">; rel=\"next\"");
	buf_release(&scratch);
}
