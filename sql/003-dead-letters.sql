-- What becomes of dead letters: they are open until they are redriven or discarded.

ALTER TABLE cqrs.dead_letters
    ADD COLUMN payload_is_whole boolean NOT NULL DEFAULT false,
    ADD COLUMN redrive_of bigint,
    ADD COLUMN resolution text CHECK (resolution IN ('redriven', 'discarded')),
    ADD COLUMN resolved_at timestamptz,
    ADD COLUMN resolved_by text,
    ADD CHECK ((resolution IS NULL) = (resolved_at IS NULL) AND (resolution IS NULL) = (resolved_by IS NULL));
UPDATE cqrs.dead_letters SET payload_is_whole = true WHERE part_index IS NULL;
COMMENT ON COLUMN cqrs.dead_letters.payload_is_whole IS 'The payload is all of the message, also if part_index alone was refused';
COMMENT ON COLUMN cqrs.dead_letters.redrive_of IS 'The letter that was redriven when this was refused, again';
COMMENT ON COLUMN cqrs.dead_letters.resolution IS 'Null: open';
CREATE INDEX dead_letters_open ON cqrs.dead_letters (consumer_group, id) WHERE resolution IS NULL;

-- The fence of a redrive: marks letters as redriven, all of which must be open,
-- or raises CQ001 and so ends the transaction that their effects are in.
CREATE FUNCTION cqrs.redrive(consumer_group text, ids bigint[], by text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE cqrs.dead_letters d
    SET resolution = 'redriven', resolved_at = clock_timestamp(), resolved_by = redrive.by
    WHERE d.id = ANY (ids) AND d.consumer_group = redrive.consumer_group AND d.resolution IS NULL;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved <> cardinality(ids) THEN
        RAISE EXCEPTION 'fence: % of % dead letters are not open', cardinality(ids) - moved, cardinality(ids)
            USING ERRCODE = 'CQ001';
    END IF;
END
$$;

-- As before, and also those who sleep on the dead letters of the group.  Who it
-- is says the transaction in the rows: what the session runs now need not be the
-- Query that moved them.
CREATE OR REPLACE FUNCTION cqrs.evict(consumer_group text, older_than interval) RETURNS integer
LANGUAGE sql AS $$
    SELECT count(pg_terminate_backend(pid))::integer
    FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
        AND wait_event = 'ClientRead' AND xact_start < clock_timestamp() - older_than
        AND backend_xid IN (
            SELECT o.xmax FROM cqrs.offsets o WHERE o.consumer_group = evict.consumer_group
            UNION ALL
            SELECT l.xmax FROM cqrs.dead_letters l
            WHERE l.consumer_group = evict.consumer_group AND l.resolution IS NULL)
$$;
