-- Gaps: what Kafka no longer had when it was to be read, and topics that began anew.

ALTER TABLE cqrs.offsets ADD COLUMN last_offset bigint, ADD COLUMN last_mark bigint;
COMMENT ON COLUMN cqrs.offsets.last_offset IS 'The message stored last; other than next_offset - 1: not known, somebody has set next_offset';
COMMENT ON COLUMN cqrs.offsets.last_mark IS 'Its fingerprint: a log with another message there is another log';

CREATE TABLE cqrs.gaps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    from_offset bigint NOT NULL,
    to_offset bigint,
    reason text NOT NULL CHECK (reason IN ('deleted', 'truncated', 'restarted')),
    policy text NOT NULL CHECK (policy IN ('halt', 'continue')),
    found_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);
COMMENT ON TABLE cqrs.gaps IS 'What could not be read: deleted, the log began behind it; truncated, it ended before; restarted, it was another';
COMMENT ON COLUMN cqrs.gaps.to_offset IS 'Where reading went on; null while nobody has decided';
CREATE UNIQUE INDEX gaps_open ON cqrs.gaps (consumer_group, topic, partition) WHERE closed_at IS NULL;

-- The fence: moves each offset from where the caller believes it to be, or
-- raises CQ001 and so ends the transaction that the caller's rows are in.
-- `marks` are those of the messages at to_offsets - 1.
DROP FUNCTION cqrs.advance(text, text[], integer[], bigint[], bigint[]);
CREATE FUNCTION cqrs.advance(
    consumer_group text, topics text[], partitions integer[], from_offsets bigint[], to_offsets bigint[],
    marks bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE cqrs.offsets o
    SET next_offset = a.to_offset, updated_at = clock_timestamp(),
        last_offset = a.to_offset - 1, last_mark = a.mark
    FROM unnest(topics, partitions, from_offsets, to_offsets, marks)
        AS a (topic, partition, from_offset, to_offset, mark)
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

-- Records that `from_offset` cannot be read, once, and moves the offset to
-- `to_offset`; null: leaves it where it is until somebody decides.  Fenced as
-- cqrs.advance() is.  Answers since when it is known, and whether it is new.
CREATE FUNCTION cqrs.record_gap(
    consumer_group text, topic text, partition integer, from_offset bigint, to_offset bigint, reason text,
    OUT since timestamptz, OUT is_new boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE cqrs.offsets o
    SET next_offset = coalesce(record_gap.to_offset, o.next_offset),
        last_offset = CASE WHEN record_gap.to_offset IS NULL THEN o.last_offset END,
        last_mark = CASE WHEN record_gap.to_offset IS NULL THEN o.last_mark END,
        updated_at = clock_timestamp()
    WHERE o.consumer_group = record_gap.consumer_group AND o.topic = record_gap.topic
        AND o.partition = record_gap.partition AND o.next_offset = record_gap.from_offset;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'fence: the offset is not where this member left it' USING ERRCODE = 'CQ001';
    END IF;
    UPDATE cqrs.gaps g
    SET to_offset = record_gap.to_offset,
        closed_at = CASE WHEN record_gap.to_offset IS NOT NULL THEN clock_timestamp() END
    WHERE g.consumer_group = record_gap.consumer_group AND g.topic = record_gap.topic
        AND g.partition = record_gap.partition AND g.from_offset = record_gap.from_offset
        AND g.closed_at IS NULL
    RETURNING g.found_at INTO since;
    is_new := NOT FOUND;
    IF is_new THEN
        INSERT INTO cqrs.gaps AS g
            (consumer_group, topic, partition, from_offset, to_offset, reason, policy, closed_at)
        VALUES (record_gap.consumer_group, record_gap.topic, record_gap.partition,
            record_gap.from_offset, record_gap.to_offset, record_gap.reason,
            CASE WHEN record_gap.to_offset IS NULL THEN 'halt' ELSE 'continue' END,
            CASE WHEN record_gap.to_offset IS NOT NULL THEN clock_timestamp() END)
        RETURNING g.found_at INTO since;
    END IF;
END
$$;
