-- Commands that are decided by what is stored, and what became of them.

-- What a decision says: an HTTP status, from 400 on a refusal; null members are
-- 200, no reason, no body.
CREATE TYPE cqrs.outcome AS (status smallint, reason text, body jsonb);

CREATE TABLE cqrs.outcomes (
    command_id uuid PRIMARY KEY,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    status smallint NOT NULL,
    reason text,
    body jsonb,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE cqrs.outcomes IS 'What became of commands that have an id; who has a row here is not applied again';
CREATE INDEX outcomes_applied_at ON cqrs.outcomes (applied_at);

CREATE TABLE cqrs.idempotency (
    key text PRIMARY KEY CHECK (octet_length(key) <= 255),
    fingerprint bytea NOT NULL,
    command_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE cqrs.idempotency IS 'Which request was the first with an Idempotency-Key, and the id of its command';
CREATE INDEX idempotency_created_at ON cqrs.idempotency (created_at);

-- Whose command a key stands for: that of who claimed it first.
CREATE FUNCTION cqrs.claim(key text, fingerprint bytea, command_id uuid) RETURNS cqrs.idempotency
LANGUAGE plpgsql AS $$
DECLARE
    claimed cqrs.idempotency;
BEGIN
    LOOP
        INSERT INTO cqrs.idempotency AS i (key, fingerprint, command_id)
        VALUES (claim.key, claim.fingerprint, claim.command_id)
        ON CONFLICT ON CONSTRAINT idempotency_pkey DO NOTHING RETURNING i.* INTO claimed;
        IF NOT FOUND THEN
            SELECT i.* INTO claimed FROM cqrs.idempotency i WHERE i.key = claim.key;
        END IF;
        -- Or it was forgotten in between.
        EXIT WHEN FOUND;
    END LOOP;
    RETURN claimed;
END
$$;

-- An event into the outbox, for the functions that decide; its id.  `headers` are an
-- object of strings.
CREATE FUNCTION cqrs.publish(topic text, key text, headers jsonb, value text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    event_id bigint;
BEGIN
    IF octet_length(value) + coalesce(octet_length(key), 0) > 900000 THEN
        RAISE EXCEPTION 'the event for % has more than 900000 bytes', topic USING ERRCODE = 'program_limit_exceeded';
    END IF;
    INSERT INTO cqrs.outbox (topic, key, headers, payload)
    VALUES (topic, convert_to(key, 'UTF8'), headers, convert_to(value, 'UTF8'))
    RETURNING id INTO event_id;
    RETURN event_id;
END
$$;

CREATE FUNCTION cqrs.publish(topic text, key text, headers jsonb, value jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    RETURN cqrs.publish(topic, key, headers, value::text);
END
$$;

-- Many, in their order.
CREATE FUNCTION cqrs.publish(topics text[], keys text[], headers jsonb[], payloads text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    big text;
BEGIN
    SELECT e.topic INTO big FROM unnest(topics, keys, payloads) AS e (topic, key, payload)
    WHERE octet_length(e.payload) + coalesce(octet_length(e.key), 0) > 900000 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the event for % has more than 900000 bytes', big USING ERRCODE = 'program_limit_exceeded';
    END IF;
    INSERT INTO cqrs.outbox (topic, key, headers, payload)
    SELECT e.topic, convert_to(e.key, 'UTF8'), e.headers, convert_to(e.payload, 'UTF8')
    FROM unnest(topics, keys, headers, payloads) WITH ORDINALITY AS e (topic, key, headers, payload, n) ORDER BY e.n;
END
$$;

-- Deletes some of the outcomes and idempotency keys that are older than `keep`;
-- true: there may be more.  One session at a time does it.
CREATE FUNCTION cqrs.forget_commands(keep interval, at_most integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    outcomes integer;
    keys integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('cqrs.forget_commands', 0)) THEN
        RETURN false;
    END IF;
    DELETE FROM cqrs.outcomes WHERE ctid = ANY (ARRAY(
        SELECT o.ctid FROM cqrs.outcomes o WHERE o.applied_at < now() - keep ORDER BY o.applied_at LIMIT at_most));
    GET DIAGNOSTICS outcomes = ROW_COUNT;
    DELETE FROM cqrs.idempotency WHERE ctid = ANY (ARRAY(
        SELECT i.ctid FROM cqrs.idempotency i WHERE i.created_at < now() - keep ORDER BY i.created_at LIMIT at_most));
    GET DIAGNOSTICS keys = ROW_COUNT;
    RETURN greatest(outcomes, keys) = at_most;
END
$$;
