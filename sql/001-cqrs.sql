-- What the core itself keeps: positions, dead letters, events on their way out.

CREATE TABLE cqrs.offsets (
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer_group, topic, partition)
) WITH (fillfactor = 50); -- updated once per batch: leave room for HOT updates
COMMENT ON TABLE cqrs.offsets IS 'Where each consumer group reads next; moves in the transaction of the rows';

CREATE TABLE cqrs.dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    part_index integer,
    key bytea,
    headers jsonb,
    payload bytea,
    reason text NOT NULL,
    sqlstate text,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE cqrs.dead_letters IS 'What was refused, and why; part_index is null when the whole message was';

CREATE TABLE cqrs.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    key bytea,
    headers jsonb,
    payload bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE cqrs.outbox IS 'Events to be sent to Kafka; a row goes when the broker has acknowledged it';

-- The fence: moves each offset from where the caller believes it to be, or
-- raises CQ001 and so ends the transaction that the caller's rows are in.
CREATE FUNCTION cqrs.advance(
    consumer_group text, topics text[], partitions integer[], from_offsets bigint[], to_offsets bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE cqrs.offsets o
    SET next_offset = a.to_offset, updated_at = clock_timestamp()
    FROM unnest(topics, partitions, from_offsets, to_offsets) AS a (topic, partition, from_offset, to_offset)
    WHERE o.consumer_group = advance.consumer_group AND o.topic = a.topic
        AND o.partition = a.partition AND o.next_offset = a.from_offset;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(topics) THEN
        RAISE EXCEPTION 'fence: % of % offsets are not where this member left them',
            cardinality(topics) - moved, cardinality(topics)
            USING ERRCODE = 'CQ001';
    END IF;
END
$$;

-- Cuts off members that hold locks on the offsets of a group and sleep: stopped
-- in the middle of a COPY, a client keeps its transaction open, and while the
-- server waits for it neither statement_timeout nor keepalives end that.
CREATE FUNCTION cqrs.evict(consumer_group text, older_than interval) RETURNS integer
LANGUAGE sql AS $$
    SELECT count(pg_terminate_backend(pid))::integer
    FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
        AND wait_event = 'ClientRead' AND xact_start < clock_timestamp() - older_than
        AND strpos(query, format('cqrs.advance(%L', consumer_group)) > 0
$$;

-- Runs `insert_sql`, which stores the staged rows $1 <= cqrs_n < $2, and where
-- the database refuses some of them, halves the range until it is known which.
-- A row of the answer has either `stored`, or the refused row and why.
CREATE FUNCTION cqrs.store(insert_sql text, low integer, high integer)
RETURNS TABLE (stored bigint, refused integer, state text, reason text) LANGUAGE plpgsql AS $$
DECLARE
    middle integer := low + (high - low) / 2;
BEGIN
    BEGIN
        EXECUTE insert_sql USING low, high;
        GET DIAGNOSTICS stored = ROW_COUNT;
        RETURN NEXT;
        RETURN;
    EXCEPTION
        WHEN data_exception OR integrity_constraint_violation OR with_check_option_violation
            OR program_limit_exceeded OR raise_exception THEN
            stored := NULL;
            refused := low;
            state := SQLSTATE;
            reason := SQLERRM;
    END;
    IF high - low <= 1 THEN
        RETURN NEXT;
    ELSE
        RETURN QUERY SELECT * FROM cqrs.store(insert_sql, low, middle);
        RETURN QUERY SELECT * FROM cqrs.store(insert_sql, middle, high);
    END IF;
END
$$;
