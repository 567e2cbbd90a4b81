/* SPDX-License-Identifier: MIT */
/*
 * The write path as a model: two members of a consumer group, Kafka's
 * coordinator, and PostgreSQL.  Spin looks at every order in which their steps
 * can come, with up to FAULTS faults at any of them.
 *
 * A step is what the process does in one turn of its loop, and has the name of
 * the function in src/core that does it.  Between two steps anything can happen
 * to a member: it is killed, or stopped until the group has gone on without it.
 * Inside one, only memory changes that dies with the process, so nothing is
 * left out by that.
 *
 *   kafka      group[], rebalancing, given[]: who is a member, what it is given
 *   member     the partitions, the open batch, the batch at work, the writer
 *   postgres   next_offset[] and stored[], and transactions on their way to it:
 *              tx[0] and tx[1] over the members' connections, the others over
 *              connections that their member has lost: they may still commit
 *
 * Left out, because the fence does not depend on it: what a batch is made of
 * (statements, staging, halves), how long anything takes, holes in offsets, who
 * sleeps on a lock (cqrs.evict()), dead letters that are tried again, which pass
 * the fence as offsets do.  Taken for granted: a seek makes all that was fetched
 * before it outdated.  There is one lane, for lanes share nothing, and a member
 * that leaves is one that is killed at a good moment.
 *
 * Safety: no message is stored twice (`doubled`), none is missing when all is
 * at rest (`lost`).  Progress, with -DPROGRESS: once faults have stopped, all
 * are stored, whatever the order (weak fairness).
 *
 * t/model/run says which mutants there are; each is one #ifdef here.
 */
#ifndef PARTITIONS
#define PARTITIONS 1
#endif
#ifndef MESSAGES
#define MESSAGES 3 /* in each partition */
#endif
#ifndef FAULTS
#define FAULTS 3 /* kills, connections lost, members stopped: together */
#endif

#define MEMBERS 2
#define ORPHANS 2
#define LAST    (PARTITIONS - 1)

byte faults = FAULTS;

hidden byte p, q, o, other, fits; /* scratch, never kept from one step to the next */

/* ---- PostgreSQL ---- */

mtype:stage = { NONE, SENT, ROWS, STORED, FENCED };

typedef transaction {
	mtype:stage stage = NONE;
	byte low[PARTITIONS]; /* its rows are those of the messages low <= offset < to */
	byte from[PARTITIONS], to[PARTITIONS];
};

transaction tx[MEMBERS + ORPHANS];
byte next_offset[PARTITIONS]; /* cqrs.offsets */
bit stored[PARTITIONS * MESSAGES];
byte missing = PARTITIONS * MESSAGES;
bit doubled, lost;

/* cqrs.advance() has the row locked from its comparison to the COMMIT: for everybody else that
 * is one step.  Partitions without a message in the batch have no part in it. */
inline advance(s)
{
	fits = true;
#ifndef NO_COMPARE
	for (p : 0 .. LAST) {
		fits = fits && (tx[s].low[p] == tx[s].to[p] || tx[s].from[p] == next_offset[p])
	}
#endif
	for (p : 0 .. LAST) {
		if
		:: fits && tx[s].low[p] != tx[s].to[p] -> next_offset[p] = tx[s].to[p]
		:: else
		fi
	}
}

/* COPY */
inline store_rows(s)
{
	printf("postgres: %d commits messages %d to %d\n", s, tx[s].low[0], tx[s].to[0] - 1);
	for (p : 0 .. LAST) {
		for (o : tx[s].low[p] .. tx[s].to[p] - 1) {
			if
			:: stored[p * MESSAGES + o] -> doubled = true
			:: else -> stored[p * MESSAGES + o] = true; missing--
			fi
		}
	}
	assert(!doubled)
}

inline forget(s)
{
	for (p : 0 .. LAST) {
		tx[s].low[p] = 0; tx[s].from[p] = 0; tx[s].to[p] = 0
	}
	tx[s].stage = NONE /* last: a d_step must not end in a loop */
}

/* The answer; nobody waits for that of an orphan. */
inline answer(s, what)
{
	forget(s);
	tx[s].stage = (s < MEMBERS -> what : NONE)
}

inline execute(s)
{
	if
	:: tx[s].stage == SENT ->
		advance(s);
		if
		:: !fits -> printf("postgres: %d is fenced off\n", s); answer(s, FENCED)
#ifdef OFFSET_FIRST
		:: fits -> printf("postgres: %d has moved the offset\n", s); tx[s].stage = ROWS
#else
		:: fits -> store_rows(s); answer(s, STORED)
#endif
		fi
	:: else -> store_rows(s); answer(s, STORED) /* ROWS: a transaction of its own */
	fi
}

#define IS_AT_WORK(s) (tx[s].stage == SENT || tx[s].stage == ROWS)

proctype postgres()
{
end:
	do
	:: d_step { IS_AT_WORK(0) -> execute(0) }
	:: d_step { IS_AT_WORK(1) -> execute(1) }
	:: d_step { IS_AT_WORK(2) -> execute(2) }
	:: d_step { IS_AT_WORK(3) -> execute(3) }
	/* It has noticed that the client is gone. */
	:: d_step { IS_AT_WORK(2) -> printf("postgres: rolls 2 back\n"); forget(2) }
	:: d_step { IS_AT_WORK(3) -> printf("postgres: rolls 3 back\n"); forget(3) }
	od
}

/* A connection is gone, with what was on its way over it: that never arrives, or will still be
 * executed some time. */
inline cut(m)
{
	if
	:: true
	:: IS_AT_WORK(m) && (tx[2].stage == NONE || tx[3].stage == NONE) ->
		d_step {
			other = (tx[2].stage == NONE -> 2 : 3);
			printf("postgres: what %d sent is now %d\n", m, other);
			tx[other].stage = tx[m].stage;
			for (p : 0 .. LAST) {
				tx[other].low[p] = tx[m].low[p];
				tx[other].from[p] = tx[m].from[p];
				tx[other].to[p] = tx[m].to[p]
			}
		}
	fi;
	d_step { forget(m) }
}

/* ---- Kafka ---- */

/* OUT: unknown to the group.  GHOST: the process is dead and the group does not know it. */
mtype:membership = { OUT, JOINED, IN, GHOST };

mtype:membership group[MEMBERS] = OUT;
bit rebalancing;
bit answered[MEMBERS]; /* an assignment is on its way to the member: */
bit given[MEMBERS * PARTITIONS];
#define GIVEN(m, partition) given[(m) * PARTITIONS + partition]
#ifdef KAFKA_POSITION
byte committed[PARTITIONS]; /* never read otherwise, so it is not even here */
#endif

inline forget_answer(m)
{
	for (p : 0 .. LAST) { GIVEN(m, p) = false }
	answered[m] = false
}

inline join(m)
{
	printf("%d: joins\n", m);
	group[m] = JOINED;
	forget_answer(m);
	rebalancing = true
}

/* The session has timed out; of a member that lives, only because it was stopped: a zombie. */
inline throw_out(m)
{
	d_step {
		group[m] == GHOST || (faults && group[m] == IN) ->
		printf("kafka: %d is thrown out\n", m);
		faults = (group[m] == IN -> faults - 1 : faults);
		group[m] = OUT;
		rebalancing = true
	}
}

inline assign(m)
{
	if
	:: group[m] == JOINED -> group[m] = IN; answered[m] = true
	:: else
	fi
}

inline give(partition)
{
	if
	:: group[0] == IN -> printf("kafka: gives %d to 0\n", partition); GIVEN(0, partition) = true
	:: group[1] == IN -> printf("kafka: gives %d to 1\n", partition); GIVEN(1, partition) = true
	fi
}

/* Nobody is waited for any more. */
#define HAS_COME(m) (group[m] == OUT || group[m] == JOINED)
#define CAN_ASSIGN                                                                         \
	(rebalancing && HAS_COME(0) && HAS_COME(1) && (group[0] == JOINED || group[1] == JOINED))

inline coordinate()
{
end:
	do
	:: throw_out(0)
	:: throw_out(1)
	:: atomic {
		CAN_ASSIGN ->
		rebalancing = false;
		assign(0);
		assign(1);
		give(0);
#if PARTITIONS > 1
		give(1)
#endif
	}
	od
}

/* ---- a member ---- */

mtype:writer_state = { IDLE, WAITING, STORING, ASKING };
mtype:fence_stand = { BEFORE, BEHIND, ELSEWHERE };

#define IS_OPEN (open[0] != taken[0] || open[LAST] != taken[LAST])

/* command_bus.c, and `pending` with it */
inline lane_forget()
{
	for (q : 0 .. LAST) { open[q] = taken[q] }
}

/* All partitions of the lane: it is the only one. */
inline locate_again()
{
	for (p : 0 .. LAST) {
		reading[p] = false;
		open[p] = 0;
		taken[p] = 0
	}
}

inline forget_batch()
{
	for (p : 0 .. LAST) {
		low[p] = 0; high[p] = 0; aim[p] = 0;
		position[p] = (reading[p] -> position[p] : 0) /* nobody's any more */
	}
	unknown = false;
	writer = IDLE
}

inline release()
{
	revoking = false;
	joining = true;
	join(m)
}

/* on_written(), positions_writer_idle() */
inline writer_finish()
{
	forget_batch();
	if
	:: revoking -> release()
	:: else
	fi
}

inline writer_stored()
{
	printf("%d: takes its batch for stored\n", m);
	for (p : 0 .. LAST) {
		position[p] = (low[p] != high[p] -> high[p] : position[p]) /* fence_moved() */
	}
	writer_finish()
}

/* positions_lost() */
inline writer_fenced()
{
	printf("%d: drops its batch\n", m);
#ifdef NOT_LOCATED
	lane_forget();
#else
	locate_again();
#endif
	writer_finish()
}

inline send_storing()
{
	printf("%d: sends messages %d to %d\n", m, low[0], high[0] - 1);
	tx[m].stage = SENT;
	for (p : 0 .. LAST) {
		aim[p] = (low[p] != high[p] -> position[p] : 0); /* fence_aim() */
		tx[m].low[p] = low[p];
		tx[m].from[p] = aim[p];
		tx[m].to[p] = high[p]
	}
	writer = STORING
}

inline took(partition)
{
	printf("%d: takes message %d of %d\n", m, taken[partition], partition);
	taken[partition]++
}

#define STANDS_AT(n, where) (low[n] == high[n] || next_offset[n] == where)

/* fence_ask_sql(), fence_stand() */
inline send_asking()
{
	printf("%d: asks what became of its batch\n", m);
	stand = (STANDS_AT(0, high[0]) && STANDS_AT(LAST, high[LAST]) -> BEHIND :
	         (STANDS_AT(0, aim[0]) && STANDS_AT(LAST, aim[LAST]) -> BEFORE : ELSEWHERE));
	writer = ASKING
}

proctype member(byte m)
{
	bit joining, has_assigned, owned, revoking, asking; /* struct command_bus */
	bit mine[PARTITIONS], assigned[PARTITIONS];
	bit reading[PARTITIONS]; /* PARTITION_ACTIVE; otherwise PARTITION_LOCATING */
	byte position[PARTITIONS], taken[PARTITIONS]; /* as in struct partition */
	byte found[PARTITIONS]; /* what the control connection will answer */
	byte open[PARTITIONS];  /* the open batch has open <= offset < taken */
	byte low[PARTITIONS], high[PARTITIONS]; /* the batch at work: low <= offset < high */
	mtype:writer_state writer = IDLE;
	byte aim[PARTITIONS]; /* where the offsets were believed to be when it was sent */
	mtype:fence_stand stand = BEFORE; /* what a writer that is ASKING will be told */
	bit unknown;

end:
	do
	/* -- the group: kafka_source.c, command_group.c -- */

	/* started, or thrown out while it waited to be given something */
	:: d_step {
		group[m] == OUT && (joining || (!owned && !has_assigned && !revoking)) ->
		joining = true;
		join(m)
	}
	:: d_step { /* on_assigned() */
		joining && answered[m] ->
		printf("%d: is given what it shall read\n", m);
		joining = false;
		for (p : 0 .. LAST) { assigned[p] = GIVEN(m, p) }
		has_assigned = true;
		forget_answer(m)
	}
	:: d_step { /* on_revoked(): the group wants to rebalance, or has done so without us */
		(owned || has_assigned) && !joining &&
		    (group[m] == OUT || (group[m] == IN && rebalancing)) ->
		printf("%d: hears that the group goes on\n", m);
		revoking = true;
		has_assigned = false;
		owned = false;
		for (p : 0 .. LAST) { assigned[p] = false; mine[p] = false }
		locate_again();
		if
		:: writer == IDLE || writer == WAITING -> /* pg_writer_cancel() */
			forget_batch();
			release()
		:: else
		fi
	}
	:: d_step { revoking -> release() } /* positions_on_revoke_timer() */

	/* -- where the partitions stand: command_positions.c -- */

	:: d_step { /* positions_locate(), ask() */
		!asking && !revoking &&
#ifdef ADOPT_AT_WORK
		    (has_assigned ||
#else
		    ((has_assigned && writer == IDLE) ||
#endif
		     (!has_assigned && owned &&
		      ((mine[0] && !reading[0]) || (mine[LAST] && !reading[LAST])))) ->
		if
		:: has_assigned -> /* adopt() */
			for (p : 0 .. LAST) {
				mine[p] = assigned[p];
				assigned[p] = false;
				position[p] = 0;
				reading[p] = false
			}
			has_assigned = false;
			owned = true
		:: else
		fi;
		/* Read a moment later they could only be newer. */
		printf("%d: reads the offsets\n", m);
		for (p : 0 .. LAST) { found[p] = next_offset[p] }
		asking = true
	}
	:: d_step { /* on_offsets(), on_asked(), start() */
		asking ->
		if
		:: !has_assigned && owned ->
			printf("%d: begins to fetch\n", m);
			for (p : 0 .. LAST) {
				if
				:: mine[p] && !reading[p] ->
					reading[p] = true;
					position[p] = found[p];
					lane_forget();
#ifdef KAFKA_POSITION
					taken[p] = committed[p];
#else
					taken[p] = position[p];
#endif
					open[p] = taken[p]
				:: else
				fi
			}
		:: else
		fi;
		for (p : 0 .. LAST) { found[p] = 0 }
		asking = false
	}
#ifdef KAFKA_POSITION
	:: d_step { /* on_report_timer(): the coordinator refuses a zombie's */
		reading[0] && group[m] == IN && committed[0] != position[0] ->
		printf("%d: tells Kafka %d\n", m, position[0]);
		committed[0] = position[0]
	}
#endif

	/* -- messages: command_bus.c -- */

	:: d_step { reading[0] && taken[0] < MESSAGES -> took(0) } /* decide() */
#if PARTITIONS > 1
	:: d_step { reading[1] && taken[1] < MESSAGES -> took(1) }
#endif
	:: d_step { /* flush(), pg_writer_store() */
		IS_OPEN && writer == IDLE ->
		for (p : 0 .. LAST) {
			low[p] = open[p];
			high[p] = taken[p];
			if
			:: low[p] == high[p] -> low[p] = 0; high[p] = 0
			:: else
			fi;
			open[p] = taken[p]
		}
		writer = WAITING
	}

	/* -- the writer: pg_writer.c, writer_outcome.c -- */

	:: d_step { /* writer_try() */
		writer == WAITING ->
		if
#if defined TAKEN_FOR_STORED
		:: unknown -> writer_stored()
#elif defined SENT_AGAIN
		:: unknown -> unknown = false; send_storing()
#elif defined SENT_AGAIN_UNFENCED
		:: unknown ->
			unknown = false;
			send_storing();
			for (p : 0 .. LAST) {
				tx[m].from[p] = (low[p] != high[p] -> next_offset[p] : 0)
			}
#else
		:: unknown -> send_asking()
#endif
		:: else -> send_storing()
		fi
	}
	:: d_step { writer == ASKING && stand == BEHIND -> stand = BEFORE; writer_stored() }
	:: d_step { writer == ASKING && stand == BEFORE -> unknown = false; send_storing() }
	:: d_step { writer == ASKING && stand == ELSEWHERE -> stand = BEFORE; writer_fenced() }
	:: d_step { tx[m].stage == STORED -> tx[m].stage = NONE; writer_stored() }
	:: d_step { tx[m].stage == FENCED -> tx[m].stage = NONE; writer_fenced() }

	/* -- faults -- */

	:: d_step { /* writer_failed(), writer_wait(): a deadlock, a full disk */
		faults && tx[m].stage == SENT ->
		printf("%d: is refused for now\n", m);
		faults--;
		forget(m);
		writer = WAITING
	}
	:: atomic { /* writer_lost(): the outcome is unknown, also if there is an answer already */
		faults && writer == STORING ->
		printf("%d: loses its connection\n", m);
		faults--;
		cut(m);
		writer = WAITING;
		unknown = true
	}
	:: atomic { /* kill -9, and started again */
		faults &&
		    (group[m] == JOINED || group[m] == IN || owned || has_assigned || revoking) ->
		printf("%d: is killed\n", m);
		faults--;
		cut(m);
		d_step {
			group[m] = (group[m] == OUT -> OUT : GHOST);
			joining = false; has_assigned = false; owned = false;
			revoking = false; asking = false;
			for (p : 0 .. LAST) {
				mine[p] = false; assigned[p] = false;
				position[p] = 0; found[p] = 0
			}
			forget_answer(m);
			stand = BEFORE;
			locate_again();
			forget_batch()
		}
	}
	od
}

#ifndef PROGRESS
/* Nobody can do anything any more. */
proctype oracle()
{
end:
	atomic { timeout -> lost = (missing > 0); assert(!lost) }
}
#endif

init
{
	atomic {
		run member(0);
		run member(1);
		run postgres();
#ifndef PROGRESS
		run oracle();
#endif
	}
	coordinate()
}

#ifdef PROGRESS
ltl progress { <> (missing == 0) }
#endif
