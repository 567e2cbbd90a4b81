-- How far read models have come: who sent a command wants to see what it has done.

CREATE TABLE cqrs.views (
    view text NOT NULL,
    topic text NOT NULL,
    consumer_group text NOT NULL,
    publishes boolean NOT NULL,
    PRIMARY KEY (view, topic)
);
COMMENT ON TABLE cqrs.views IS 'Which topics feed the tables of a command module; publishes: what it does there becomes events, for other views';

CREATE TABLE cqrs.relayed (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE cqrs.relayed IS 'Where in Kafka the last event of the outbox stands, plus one';

CREATE TABLE cqrs.progress (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    requires jsonb NOT NULL,
    told_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, next_offset)
);
COMMENT ON TABLE cqrs.progress IS 'What commands before next_offset have caused stands before these places: [topic, partition, offset], …';

-- A module says what feeds its tables.
CREATE PROCEDURE cqrs.register_view(view text, topics text[], consumer_group text, publishes boolean)
LANGUAGE sql AS $$
    DELETE FROM cqrs.views v WHERE v.view = register_view.view AND v.topic <> ALL (topics);
    INSERT INTO cqrs.views AS v (view, topic, consumer_group, publishes)
    SELECT register_view.view, t, register_view.consumer_group, register_view.publishes FROM unnest(topics) AS t
    ON CONFLICT ON CONSTRAINT views_pkey DO UPDATE
    SET consumer_group = excluded.consumer_group, publishes = excluded.publishes
    WHERE (v.consumer_group, v.publishes) IS DISTINCT FROM (excluded.consumer_group, excluded.publishes);
$$;

-- The relay has sent events, and where the last of them stand.
CREATE FUNCTION cqrs.relay_done(ids bigint[], topics text[], partitions integer[], offsets bigint[]) RETURNS void
LANGUAGE sql AS $$
    DELETE FROM cqrs.outbox WHERE id = ANY (ids);
    INSERT INTO cqrs.relayed (topic, partition, next_offset) SELECT * FROM unnest(topics, partitions, offsets)
    ON CONFLICT ON CONSTRAINT relayed_pkey DO UPDATE SET next_offset = excluded.next_offset;
$$;

-- How far commands that cause events have come, as [topic, partition, offset], …; and
-- the last event of the outbox: when that is sent, too, this may be told.
CREATE FUNCTION cqrs.reached(OUT commands text, OUT last_id bigint) LANGUAGE sql STABLE AS $$
    SELECT (SELECT jsonb_agg(jsonb_build_array(o.topic, o.partition, o.next_offset) ORDER BY o.topic, o.partition)
            FROM cqrs.offsets o JOIN cqrs.views v ON v.topic = o.topic AND v.consumer_group = o.consumer_group
            WHERE v.publishes)::text,
        (SELECT max(id) FROM cqrs.outbox);
$$;

-- The other half of what is told.
CREATE FUNCTION cqrs.required() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_array(topic, partition, next_offset)), '[]')::text FROM cqrs.relayed
$$;

-- What was told: {"commands": [[topic, partition, offset], …], "requires": [[topic, partition, offset], …]}.
-- Kept for a minute, so that who waits need not run after what comes later.
CREATE FUNCTION cqrs.note_progress(told jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO cqrs.progress (topic, partition, next_offset, requires)
    SELECT c ->> 0, (c ->> 1)::integer, (c ->> 2)::bigint, told -> 'requires'
    FROM jsonb_array_elements(told -> 'commands') AS c
    ON CONFLICT DO NOTHING;
    DELETE FROM cqrs.progress p USING jsonb_array_elements(told -> 'commands') AS c
    WHERE p.topic = c ->> 0 AND p.partition = (c ->> 1)::integer AND p.next_offset < (c ->> 2)::bigint
        AND p.told_at < now() - interval '1 minute';
END
$$;

-- Whether a view has all before this place.  A transaction can be seen a moment
-- before others know of the partitions that it made: not before it has let go of its id.
CREATE FUNCTION cqrs.has_come(view text, topic text, partition integer, next_offset bigint) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM cqrs.views v JOIN cqrs.offsets o ON o.consumer_group = v.consumer_group AND o.topic = v.topic
        WHERE v.view = has_come.view AND v.topic = has_come.topic AND o.partition = has_come.partition
            AND o.next_offset >= has_come.next_offset
            AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'transactionid' AND l.transactionid = o.xmin
                AND l.granted))
$$;

-- Whether a view shows what a message has done: it feeds the view itself, or by the
-- events that it has caused.  What only feeds others, and becomes no events, changes nothing in it.
CREATE FUNCTION cqrs.applied(view text, topic text, partition integer, "offset" bigint) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    required jsonb;
BEGIN
    IF EXISTS (SELECT FROM cqrs.views v WHERE v.view = applied.view AND v.topic = applied.topic) THEN
        RETURN cqrs.has_come(view, topic, partition, "offset" + 1);
    END IF;
    IF NOT (SELECT coalesce(bool_or(v.publishes), true) FROM cqrs.views v WHERE v.topic = applied.topic) THEN
        RETURN true;
    END IF;
    SELECT p.requires INTO required FROM cqrs.progress p
    WHERE p.topic = applied.topic AND p.partition = applied.partition AND p.next_offset > applied."offset"
    ORDER BY p.next_offset LIMIT 1;
    RETURN FOUND AND NOT EXISTS (
        SELECT FROM jsonb_array_elements(required) AS r
        JOIN cqrs.views v ON v.view = applied.view AND v.topic = r ->> 0
        WHERE NOT cqrs.has_come(v.view, v.topic, (r ->> 1)::integer, (r ->> 2)::bigint));
END
$$;
