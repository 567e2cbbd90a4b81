/* SPDX-License-Identifier: MIT */
/* What can be asked about products: one by its id, and a search. */
#include <cqrs/query.h>

#define VIEW "product_view"
#define TIME                                                 \
	"{\"type\":[\"string\",\"number\"],\"description\":" \
	"\"RFC 3339, or as time_format says\"}"
#define COUNT "{\"type\":\"integer\",\"minimum\":0}"
#define PRODUCT                                                                                \
	"{\"type\":\"object\",\"required\":[\"productId\",\"name\",\"description\",\"price\"," \
	"\"createdAt\",\"updatedAt\",\"version\"],\"properties\":{"                            \
	"\"productId\":{\"type\":\"string\",\"format\":\"uuid\"},"                             \
	"\"name\":{\"type\":\"string\"},\"description\":{\"type\":\"string\"},"                \
	"\"price\":{\"type\":\"number\",\"minimum\":0},"                                       \
	"\"createdAt\":" TIME ",\"updatedAt\":" TIME ","                                       \
	"\"version\":{\"type\":\"integer\",\"minimum\":1}}}"
#define COUNTED 10000 /* where product_view.search() stops counting, and pages end */

static const struct cqrs_param one_params[] = {
    {.name = "id", .type = CQRS_PARAM_UUID, .help = "the product's id"},
    {.name = NULL},
};

static void get_product(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	cqrs_sql_bind(ans,
	              "SELECT id AS \"productId\", name, description, price,"
	              " created_at AS \"createdAt\", updated_at AS \"updatedAt\", version"
	              " FROM product_view.product WHERE id = $? AND name IS NOT NULL",
	              cqrs_param(req, "id"), 1);
}

static const struct cqrs_param search_params[] = {
    {.name = "search",
     .type = CQRS_PARAM_TEXT,
     .max = 250,
     .help = "only products with this text in their name or description, whatever the case; "
             "of three characters or more an index helps"},
    {.name = "page",
     .type = CQRS_PARAM_INTEGER,
     .initial = "1",
     .min = 1,
     .max = COUNTED,
     .help = "which page, from 1 on"},
    {.name = "size",
     .type = CQRS_PARAM_INTEGER,
     .initial = "10",
     .min = 1,
     .max = 100,
     .help = "products on a page"},
    {.name = "order_by",
     .type = CQRS_PARAM_CHOICE,
     .initial = "name",
     .choices = "name|-name|price|-price|createdAt|-createdAt",
     .help = "what the products are in the order of; with a minus from the last to the first"},
    {.name = NULL},
};

static void search(void *self, const struct cqrs_request *req, struct cqrs_answer *ans)
{
	(void)self;
	struct cqrs_value page = *cqrs_param(req, "page"), size = *cqrs_param(req, "size");
	struct cqrs_value asked[] = {*cqrs_param(req, "search"), page, size,
	                             *cqrs_param(req, "order_by")};
	if ((page.i - 1) * size.i >= COUNTED) {
		cqrs_answer_refuse(ans, "page",
		                   "pages end after %d products: search for something rarer",
		                   COUNTED);
		return;
	}
	cqrs_sql_bind(ans,
	              "SELECT total_count AS \"totalCount\","
	              " (total_count + $? - 1) / $? AS \"totalPages\", $? AS page, $? AS size,",
	              (struct cqrs_value[]){size, size, page, size}, 4);
	cqrs_sql_bind(ans,
	              " has_more AS \"hasMore\", products"
	              " FROM product_view.search($?, $?, $?, $?)",
	              asked, 4);
}

static const struct cqrs_route routes[] = {
    {.path = "/products/{id}",
     .summary = "One product",
     .params = one_params,
     .query = get_product,
     .one = true,
     .object = PRODUCT,
     .etag = "version",
     .view = VIEW,
     .cached = true},
    {.path = "/products/search",
     .summary = "A page of products; totalCount is counted to 10,000",
     .params = search_params,
     .query = search,
     .one = true,
     .object =
         "{\"type\":\"object\",\"required\":[\"totalCount\",\"totalPages\",\"page\",\"size\","
         "\"hasMore\",\"products\"],\"properties\":{\"totalCount\":" COUNT ",\"totalPages\":" COUNT
         ",\"page\":" COUNT ",\"size\":" COUNT ",\"hasMore\":{\"type\":\"boolean\"},"
         "\"products\":{\"type\":\"array\",\"items\":" PRODUCT "}}}",
     .view = VIEW},
};

static void *start(struct cqrs_routes *list, const void *options)
{
	static char instance; /* nothing to remember between requests */
	(void)options;
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		cqrs_routes_add(list, &routes[i]);
	return &instance;
}

static void stop(void *self)
{
	(void)self;
}

CQRS_QUERY_MODULE(product, .summary = "Products and a search in them", .start = start,
                  .stop = stop);
