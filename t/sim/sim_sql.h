/* SPDX-License-Identifier: MIT */
/*
 * What the statements of the simulated PostgreSQL share: reading their text,
 * and answering with rows.  Each is a function that runs one, or goes on with it
 * where it was blocked.
 */
#ifndef SIM_SQL_H
#define SIM_SQL_H

#include "sim_pg_internal.h"

#define SQL_COLUMNS_MAX 16

/* ---- sim_sql_text.c ---- */

PGresult *sql_rows(int n, const char *const *names);
/* NULL: null. */
void sql_set_text(PGresult *result, int row, int column, const char *text);
void sql_set_number(PGresult *result, int row, int column, int64_t n);
enum step sql_answer(struct session *session, PGresult *result);
enum step sql_answer_command(struct session *session, const char *tag);

/* The next 'literal', unquoted, and what follows it. */
const char *sql_literal(struct session *session, const char *sql, char *out, size_t size);
/* The numbers of the next ARRAY[…]; how many. */
size_t sql_numbers(struct session *session, const char **sql, int64_t *out, size_t max);
/* The names of "(a, b, c)", unquoted, in place; how many. */
int sql_names(char *list, const char *names[SQL_COLUMNS_MAX]);
enum sim_table sql_table(struct session *session, const char *name, size_t len);
int sql_log(struct session *session, const char *topic, int32_t partition);

/* ---- sim_offsets.c ---- */

#define SQL_READ_OFFSETS                         \
	"SELECT topic, partition, next_offset, " \
	"CASE WHEN last_offset = next_offset - 1 THEN last_mark END FROM cqrs.offsets"

enum step sql_advance(struct session *session, char *sql);
enum step sql_read_offsets(struct session *session, char *sql);
enum step sql_add_offsets(struct session *session, char *sql);
enum step sql_record_gap(struct session *session, char *sql);
enum step sql_evict(struct session *session, char *sql);

/* ---- sim_command.c ---- */

enum step sql_known(struct session *session, char *sql);
enum step sql_notify(struct session *session, char *sql);
enum step sql_decide(struct session *session, const struct packet *packet);
/* A row of cqrs.outcomes; `id` is a uuid's 16 bytes. */
enum step sql_insert_outcome(struct session *session, const char *id, struct change outcome);

/* ---- sim_copy.c, sim_stage.c ---- */

enum step sql_copy(struct session *session, char *sql);
enum step sql_sift(struct session *session, char *sql);
enum step sql_duplicates(struct session *session, char *sql);
enum step sql_staged(struct session *session, char *sql);

#endif
