/* SPDX-License-Identifier: MIT */
/* The database side of commands over HTTP. */
#include "command_db.h"

#include "container.h"
#include "pg_value.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CLAIM_SQL "SELECT c.fingerprint, c.command_id FROM cqrs.claim($1, $2, $3) AS c"
#define ASK_SQL                                                                            \
	"SELECT u.n, o.status, o.reason, o.body::text, o.topic, o.partition, "             \
	"o.\"offset\", o.applied_at FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n) " \
	"JOIN cqrs.outcomes AS o ON o.command_id = u.id"
#define POLL_US 500000 /* in case that nobody says so */

TAILQ_HEAD(claims, command_claim);
LIST_HEAD(waits, outcome_wait);

struct command_db {
	struct loop *loop;
	const struct command_db_config *config;
	struct health *checks;
	struct health_check *health; /* NULL: nobody has asked yet */
	struct buf setup;
	struct pg_conn_config conn_config;
	struct pg_conn *conn;
	struct claims claims; /* that are not sent */
	struct waits waits;
	struct timer *turn; /* sends what has come in this one */
	struct timer *poll;
	/* the question under way */
	struct pg_request question;
	struct buf ids; /* its parameter */
	const char *ids_value;
	int ids_length;
	struct outcome_wait **asked; /* NULL: who has left */
	size_t n_asked, cap_asked;
	bool is_asking, again;
};

static void ask_soon(struct command_db *db)
{
	timer_arm(db->turn, 0);
}

/* The first who asks makes the connection. */
static void begin(struct command_db *db)
{
	if (!db->health) {
		db->health = health_add(db->checks, "postgres commands");
		pg_conn_start(db->conn);
	}
	ask_soon(db);
}

/* ---- keys ---- */

static void on_claimed(struct pg_request *request, const PGresult *answer)
{
	struct command_claim *claim = container_of(request, struct command_claim, request);
	if (PQresultStatus(answer) != PGRES_TUPLES_OK || PQntuples(answer) != 1)
		return;
	bool same = PQgetlength(answer, 0, 0) == CLAIM_FINGERPRINT &&
	            !memcmp(PQgetvalue(answer, 0, 0), claim->fingerprint, CLAIM_FINGERPRINT);
	bool ours = !memcmp(PQgetvalue(answer, 0, 1), claim->uuid, sizeof claim->uuid);
	claim->answer = ours ? CLAIM_OURS : same ? CLAIM_THEIRS : CLAIM_OTHER;
	pg_uuid_format(claim->id, PQgetvalue(answer, 0, 1));
}

static void on_claim_done(struct pg_request *request, enum pg_outcome outcome,
                          const struct pg_error *error)
{
	struct command_claim *claim = container_of(request, struct command_claim, request);
	(void)error;
	claim->done(claim, outcome == PG_DONE ? claim->answer : CLAIM_FAILED);
}

void command_db_claim(struct command_db *db, struct command_claim *claim)
{
	claim->db = db;
	claim->is_sent = false;
	claim->answer = CLAIM_FAILED;
	TAILQ_INSERT_TAIL(&db->claims, claim, link);
	begin(db);
}

bool command_claim_give_up(struct command_claim *claim)
{
	if (claim->is_sent)
		return false;
	TAILQ_REMOVE(&claim->db->claims, claim, link);
	return true;
}

/* A transaction of its own for each, so that none waits for the locks of another. */
static bool send_claim(struct command_db *db, struct command_claim *claim)
{
	static const Oid types[] = {PG_OID_TEXT, PG_OID_BYTEA, PG_OID_UUID};
	pg_uuid_parse(claim->uuid, claim->id, UUID_TEXT - 1);
	claim->values[0] = claim->key;
	claim->lengths[0] = (int)strlen(claim->key);
	claim->values[1] = claim->fingerprint;
	claim->lengths[1] = sizeof claim->fingerprint;
	claim->values[2] = claim->uuid;
	claim->lengths[2] = sizeof claim->uuid;
	claim->request = (struct pg_request){.sql = CLAIM_SQL,
	                                     .n_params = 3,
	                                     .types = types,
	                                     .values = claim->values,
	                                     .lengths = claim->lengths,
	                                     .on_result = on_claimed,
	                                     .done = on_claim_done};
	if (!pg_conn_send(db->conn, &claim->request))
		return false;
	pg_conn_sync(db->conn);
	return true;
}

static void send_claims(struct command_db *db)
{
	struct command_claim *claim;
	while ((claim = TAILQ_FIRST(&db->claims)) && send_claim(db, claim)) {
		claim->is_sent = true;
		TAILQ_REMOVE(&db->claims, claim, link);
	}
}

/* ---- outcomes ---- */

void outcome_wait_leave(struct outcome_wait *wait)
{
	if (!wait->db)
		return;
	if (wait->asked)
		wait->db->asked[wait->asked - 1] = NULL;
	wait->db = NULL;
	LIST_REMOVE(wait, link);
}

static void tell(struct outcome_wait *wait, const struct outcome *outcome)
{
	outcome_wait_leave(wait);
	wait->known(wait, outcome);
}

static const char *text(const PGresult *answer, int row, int column)
{
	return PQgetisnull(answer, row, column) ? NULL : PQgetvalue(answer, row, column);
}

static void on_outcomes(struct pg_request *request, const PGresult *answer)
{
	struct command_db *db = container_of(request, struct command_db, question);
	if (PQresultStatus(answer) != PGRES_TUPLES_OK)
		return;
	for (int i = 0; i < PQntuples(answer); i++) {
		struct outcome_wait *wait = db->asked[pg_get64(PQgetvalue(answer, i, 0)) - 1];
		if (!wait)
			continue;
		const struct outcome outcome = {
		    .status = (int16_t)pg_get16(PQgetvalue(answer, i, 1)),
		    .reason = text(answer, i, 2),
		    .body = text(answer, i, 3),
		    .body_len = (size_t)PQgetlength(answer, i, 3),
		    .topic = PQgetvalue(answer, i, 4),
		    .partition = (int32_t)pg_get32(PQgetvalue(answer, i, 5)),
		    .offset = (int64_t)pg_get64(PQgetvalue(answer, i, 6)),
		    .applied_us = (int64_t)pg_get64(PQgetvalue(answer, i, 7)) + PG_EPOCH_US,
		};
		tell(wait, &outcome);
	}
}

/* The question is over. */
static void end_question(struct command_db *db, bool answered)
{
	db->is_asking = false;
	for (size_t i = 0; i < db->n_asked; i++) {
		struct outcome_wait *wait = db->asked[i];
		if (!wait)
			continue;
		wait->asked = 0;
		if (wait->once && answered)
			tell(wait, NULL);
	}
	db->n_asked = 0;
}

static void on_question_done(struct pg_request *request, enum pg_outcome outcome,
                             const struct pg_error *error)
{
	struct command_db *db = container_of(request, struct command_db, question);
	(void)error;
	end_question(db, outcome == PG_DONE);
	if (db->again)
		ask_soon(db);
	db->again = false;
}

/* Room for all who wait, and their ids as an array; false: no memory. */
static bool list_waits(struct command_db *db)
{
	struct outcome_wait *wait;
	size_t n = 0;
	LIST_FOREACH (wait, &db->waits, link)
		n++;
	if (n > db->cap_asked) {
		free(db->asked);
		db->asked = calloc(n, sizeof *db->asked);
		db->cap_asked = db->asked ? n : 0;
	}
	buf_clear(&db->ids);
	if (!db->asked || !buf_reserve(&db->ids, PG_ARRAY_HEADER + n * (4 + 16)))
		return false;
	db->n_asked = 0;
	pg_array_begin(&db->ids, PG_OID_UUID, false, n);
	LIST_FOREACH (wait, &db->waits, link) {
		char uuid[16];
		pg_uuid_parse(uuid, wait->id, UUID_TEXT - 1);
		buf_put32(&db->ids, sizeof uuid);
		buf_add(&db->ids, uuid, sizeof uuid);
		db->asked[db->n_asked++] = wait;
		wait->asked = db->n_asked;
	}
	db->ids_value = db->ids.data;
	db->ids_length = (int)db->ids.len;
	return true;
}

/* Of all who wait at once. */
static void ask(struct command_db *db)
{
	if (LIST_EMPTY(&db->waits) || pg_conn_state(db->conn) != PG_CONN_READY)
		return;
	db->again = db->is_asking;
	if (db->is_asking || !list_waits(db))
		return;
	if (pg_conn_send(db->conn, &db->question)) {
		db->is_asking = true;
		pg_conn_sync(db->conn);
	} else {
		end_question(db, false);
	}
}

void command_db_wait(struct command_db *db, struct outcome_wait *wait)
{
	wait->db = db;
	wait->asked = 0;
	LIST_INSERT_HEAD(&db->waits, wait, link);
	if (!timer_is_armed(db->poll))
		timer_arm(db->poll, POLL_US);
	begin(db);
}

/* ---- what the loop calls ---- */

static void on_turn(void *arg)
{
	struct command_db *db = arg;
	send_claims(db);
	ask(db);
}

static void on_poll(void *arg)
{
	struct command_db *db = arg;
	if (LIST_EMPTY(&db->waits))
		return;
	timer_arm(db->poll, POLL_US);
	ask(db);
}

static void on_ready(void *owner, struct pg_conn *conn)
{
	struct command_db *db = owner;
	(void)conn;
	health_ok(db->health);
	ask_soon(db);
}

static void on_lost(void *owner, struct pg_conn *conn, const struct pg_error *error)
{
	struct command_db *db = owner;
	(void)conn;
	health_fail(db->health, "%s", error ? error->message : "connection lost");
}

static void on_notify(void *owner, struct pg_conn *conn, const char *payload)
{
	(void)conn;
	(void)payload;
	ask_soon(owner);
}

static const struct pg_conn_events conn_events = {
    .on_ready = on_ready, .on_lost = on_lost, .on_notify = on_notify};

/* ---- life ---- */

struct command_db *command_db_new(struct loop *loop, const struct command_db_config *config,
                                  struct health *health)
{
	static const Oid types[] = {PG_OID_UUID_ARRAY};
	struct command_db *db = calloc(1, sizeof *db);
	if (!db)
		return NULL;
	db->loop = loop;
	db->config = config;
	db->checks = health;
	TAILQ_INIT(&db->claims);
	LIST_INIT(&db->waits);
	buf_printf(&db->setup,
	           "SET client_min_messages = warning; SET statement_timeout = %" PRId64 ";"
	           "LISTEN cqrs_outcomes",
	           config->timeout_us / 1000);
	db->conn_config = (struct pg_conn_config){
	    .name = "postgres commands",
	    .dsn = config->dsn,
	    .setup = buf_str(&db->setup),
	    .writes = true,
	    .network_timeout_us = config->network_timeout_us,
	    .statement_timeout_us = config->timeout_us,
	    .max_statements = 2,
	};
	db->question = (struct pg_request){.sql = ASK_SQL,
	                                   .n_params = 1,
	                                   .types = types,
	                                   .values = &db->ids_value,
	                                   .lengths = &db->ids_length,
	                                   .on_result = on_outcomes,
	                                   .done = on_question_done};
	db->turn = timer_new(loop, on_turn, db);
	db->poll = timer_new(loop, on_poll, db);
	db->conn = pg_conn_new(loop, &db->conn_config, &conn_events, db);
	if (!db->setup.failed && db->turn && db->poll && db->conn)
		return db;
	command_db_free(db);
	return NULL;
}

void command_db_free(struct command_db *db)
{
	struct outcome_wait *wait;
	if (!db)
		return;
	while ((wait = LIST_FIRST(&db->waits)))
		outcome_wait_leave(wait);
	pg_conn_free(db->conn);
	timer_free(db->turn);
	timer_free(db->poll);
	buf_release(&db->setup);
	buf_release(&db->ids);
	free(db->asked);
	free(db);
}
