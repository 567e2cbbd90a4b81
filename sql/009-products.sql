-- The products system: what command/product decides by, what command/product_view
-- writes and query/product reads.

CREATE SCHEMA products;
CREATE SCHEMA product_view;

-- The rules of a product, for both sides; src/modules/product/product.h has the same for clients.
-- NaN is greater than all numbers.
CREATE DOMAIN products.name AS text CHECK (char_length(value) BETWEEN 1 AND 250);
CREATE DOMAIN products.description AS text CHECK (char_length(value) BETWEEN 1 AND 5000);
CREATE DOMAIN products.price AS numeric CHECK (value >= 0 AND value < 1e15 AND scale(value) <= 2);
CREATE DOMAIN products.version AS bigint CHECK (value >= 0);

-- ---- the write model ----

CREATE TABLE products.product (
    id uuid PRIMARY KEY,
    name products.name,
    description products.description,
    price products.price,
    version products.version NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    CHECK ((name IS NULL) = deleted AND (description IS NULL) = deleted AND (price IS NULL) = deleted
        AND (deleted OR version > 0))
) WITH (fillfactor = 90);
COMMENT ON TABLE products.product IS 'What commands are decided by; deleted ones stay, so that versions go on';
COMMENT ON COLUMN products.product.version IS '1, 2, 3, … without a gap; 0: commands wait for it to be created';

CREATE TABLE products.aside (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id uuid NOT NULL,
    command text NOT NULL,
    name products.name,
    description products.description,
    price products.price,
    expected_version bigint,
    event_topic text NOT NULL,
    event_headers jsonb,
    sent_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea,
    headers jsonb,
    payload bytea
);
COMMENT ON TABLE products.aside IS 'Commands of a topic that is read apart from the one that creates: until due_at they wait for their product';
CREATE INDEX aside_product ON products.aside (product_id);
CREATE INDEX aside_due ON products.aside (due_at);

-- RFC 3339 in UTC with no, three or six digits of fraction, as the daemon writes it.
CREATE FUNCTION products.time_text(t timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT to_char(t AT TIME ZONE 'UTC', CASE t WHEN date_trunc('second', t) THEN 'YYYY-MM-DD"T"HH24:MI:SS"Z"'
        WHEN date_trunc('milliseconds', t) THEN 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
        ELSE 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"' END)
$$;

-- What the event of a change says; a deleted product has no more than its version.
CREATE FUNCTION products.event(p products.product) RETURNS json LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p.deleted THEN
        RETURN json_build_object('productId', p.id, 'updatedAt', products.time_text(p.updated_at),
            'version', p.version);
    END IF;
    RETURN json_build_object('productId', p.id, 'name', p.name, 'description', p.description, 'price', p.price,
        'createdAt', products.time_text(p.created_at), 'updatedAt', products.time_text(p.updated_at),
        'version', p.version);
END
$$;

-- Makes a dead letter of a command that was put aside.
CREATE FUNCTION products.refuse(a products.aside, reason text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO cqrs.dead_letters (consumer_group, topic, partition, "offset", key, headers, payload,
        payload_is_whole, reason)
    VALUES (a.consumer_group, a.topic, a.partition, a."offset", a.key, a.headers, a.payload, true, reason)
$$;

-- create, update, patch (null: as it is) or delete; expected_version may be null.
CREATE TYPE products.command AS (
    n bigint, command text, id uuid, name text, description text, price numeric, expected_version bigint,
    event_topic text, event_headers jsonb
);
CREATE TYPE products.decided AS (n bigint, status smallint, reason text, body jsonb);

-- Decides commands by what is stored, and does them: all at once, as each is about another
-- product.  One that neither could be done nor has to be refused has met a change that was
-- not to be seen yet, and is tried again.
CREATE FUNCTION products.decide_distinct(commands products.command[]) RETURNS products.decided[]
LANGUAGE plpgsql
-- Plans are kept, and may have been made for an empty table: they must be by the index, with the ids.
SET enable_seqscan = off AS $$
DECLARE
    ids uuid[];
    decided products.decided[] := '{}';
    done products.decided[];
    refused products.decided[];
    topics text[];
    keys text[];
    headers jsonb[];
    events text[];
    revived uuid[];
BEGIN
    LOOP
        ids := ARRAY(SELECT c.id FROM unnest(commands) AS c);
        WITH c AS MATERIALIZED (
            SELECT * FROM unnest(commands)
        ), made AS (
            INSERT INTO products.product AS o (id, name, description, price, version, created_at, updated_at)
            SELECT c.id, c.name, c.description, c.price, 1, now(), now() FROM c WHERE c.command = 'create' ORDER BY c.id
            ON CONFLICT ON CONSTRAINT product_pkey DO NOTHING RETURNING o.*
        ), changed AS (
            UPDATE products.product AS o
            SET name = CASE WHEN c.command <> 'delete' THEN coalesce(c.name, o.name) END,
                description = CASE WHEN c.command <> 'delete' THEN coalesce(c.description, o.description) END,
                price = CASE WHEN c.command <> 'delete' THEN coalesce(c.price, o.price) END,
                deleted = c.command = 'delete', version = o.version + 1,
                created_at = CASE WHEN o.deleted THEN greatest(o.updated_at, now()) ELSE o.created_at END,
                updated_at = greatest(o.updated_at, now())
            FROM c
            WHERE o.id = ANY (ids) AND o.id = c.id AND o.deleted = (c.command = 'create')
                AND (o.deleted OR c.expected_version IS NULL OR o.version = c.expected_version)
            RETURNING o.*
        ), done AS (
            SELECT c.*, products.event(p.product) AS event, p.is_new
            FROM (SELECT made::products.product, true FROM made
                UNION ALL SELECT changed::products.product, false FROM changed) AS p (product, is_new)
            JOIN c ON c.id = (p.product).id ORDER BY c.n
        )
        SELECT array_agg((d.n, 200, NULL, CASE WHEN d.command IN ('update', 'patch') THEN d.event END)::products.decided),
            array_agg(d.event_topic), array_agg(d.id::text), array_agg(d.event_headers), array_agg(d.event::text),
            array_agg(d.id) FILTER (WHERE d.command = 'create' AND NOT d.is_new)
        INTO done, topics, keys, headers, events, revived FROM done AS d;
        PERFORM cqrs.publish(topics, keys, headers, events);
        PERFORM products.resume(r.id) FROM unnest(revived) AS r (id);
        decided := decided || done;
        EXIT WHEN cardinality(done) = cardinality(commands);

        SELECT array_agg(d.said) FILTER (WHERE NOT d.said IS NULL), array_agg(d.command) FILTER (WHERE d.said IS NULL)
        INTO refused, commands FROM (
            SELECT c AS command, CASE
                WHEN o.id IS NULL AND c.command = 'create' THEN NULL
                WHEN o.id IS NULL AND c.command = 'delete' THEN (c.n, 200, NULL, NULL)::products.decided
                WHEN o.id IS NULL THEN (c.n, 404, format('there is no product %s', c.id), NULL)::products.decided
                WHEN c.command = 'create' AND (o.name, o.description, o.price) = (c.name, c.description, c.price)
                    THEN (c.n, 200, NULL, NULL)::products.decided
                WHEN c.command = 'create'
                    THEN (c.n, 409, format('product %s exists and is another one', c.id), NULL)::products.decided
                WHEN o.version <> c.expected_version
                    THEN (c.n, 412, format('the product has version %s, not %s', o.version, c.expected_version),
                        NULL)::products.decided
                END AS said
            FROM unnest(commands) AS c
            LEFT JOIN products.product o ON o.id = ANY (ids) AND o.id = c.id AND NOT o.deleted
            WHERE c.n NOT IN (SELECT d.n FROM unnest(done) AS d)
        ) AS d;
        decided := decided || refused;
        EXIT WHEN commands IS NULL;
    END LOOP;
    RETURN decided;
END
$$;

-- Decides any commands, those about one product one after the other.
CREATE FUNCTION products.decide(
    commands text[], ids uuid[], names text[], descriptions text[], prices numeric[], expected_versions bigint[],
    event_topics text[], event_headers jsonb[]
) RETURNS SETOF cqrs.outcome LANGUAGE plpgsql AS $$
DECLARE
    turn products.command[];
    decided products.decided[] := '{}';
BEGIN
    FOR turn IN
        SELECT array_agg(c.command) FROM (
            SELECT (u.n, u.command, u.id, u.name, u.description, u.price, u.expected_version, u.event_topic,
                u.event_headers)::products.command AS command, row_number() OVER (PARTITION BY u.id ORDER BY u.n) AS turn
            FROM unnest(commands, ids, names, descriptions, prices, expected_versions, event_topics, event_headers)
                WITH ORDINALITY AS u (command, id, name, description, price, expected_version, event_topic,
                    event_headers, n)
        ) AS c GROUP BY c.turn ORDER BY c.turn
    LOOP
        decided := decided || products.decide_distinct(turn);
    END LOOP;
    RETURN QUERY SELECT d.status, d.reason, d.body FROM unnest(decided) AS d ORDER BY d.n;
END
$$;

-- Decides one.
CREATE FUNCTION products.apply(
    command text, id uuid, name text, description text, price numeric, expected_version bigint,
    event_topic text, event_headers jsonb
) RETURNS cqrs.outcome LANGUAGE sql AS $$
    SELECT d FROM products.decide(ARRAY[command], ARRAY[id], ARRAY[name], ARRAY[description], ARRAY[price],
        ARRAY[expected_version], ARRAY[event_topic], ARRAY[event_headers]) AS d
$$;

-- Applies what waited for a product, in the order in which it was sent.
CREATE FUNCTION products.resume(id uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a products.aside;
    o cqrs.outcome;
BEGIN
    FOR a IN SELECT * FROM products.aside w WHERE w.product_id = resume.id ORDER BY w.sent_at, w.id LOOP
        DELETE FROM products.aside w WHERE w.id = a.id;
        o := products.apply(a.command, a.product_id, a.name, a.description, a.price, a.expected_version,
            a.event_topic, a.event_headers);
        IF o.status >= 400 THEN
            PERFORM products.refuse(a, o.reason);
        END IF;
    END LOOP;
END
$$;

-- The same as products.apply() for a message of a topic of its own, which may
-- overtake the one that creates its product: what is to happen to a product that
-- never was waits for it, for wait_us microseconds.  At most wait_max wait, and
-- what more comes is refused at once.
CREATE FUNCTION products.apply_or_wait(
    command text, id uuid, name text, description text, price numeric, expected_version bigint,
    event_topic text, event_headers jsonb,
    wait_us bigint, wait_max bigint, sent_at timestamptz,
    topic text, partition integer, "offset" bigint, key bytea, headers jsonb, payload bytea
) RETURNS cqrs.outcome LANGUAGE plpgsql AS $$
DECLARE
    known bigint;
BEGIN
    LOOP
        SELECT p.version INTO known FROM products.product p WHERE p.id = apply_or_wait.id;
        -- Numbers that are missing in between count too: it is enough that there is a bound.
        IF known > 0 OR command = 'create' OR wait_us = 0
            OR (SELECT max(w.id) - min(w.id) + 1 >= wait_max FROM products.aside w) THEN
            RETURN products.apply(command, id, name, description, price, expected_version,
                event_topic, event_headers);
        END IF;
        -- Who creates the product meanwhile meets this row, waits for us and then sees what waits.
        INSERT INTO products.product (id, version, created_at, updated_at, deleted)
        VALUES (apply_or_wait.id, 0, now(), now(), true) ON CONFLICT DO NOTHING;
        SELECT p.version INTO known FROM products.product p WHERE p.id = apply_or_wait.id FOR UPDATE;
        EXIT WHEN known = 0;
    END LOOP;
    INSERT INTO products.aside (product_id, command, name, description, price, expected_version,
        event_topic, event_headers, sent_at, due_at, consumer_group,
        topic, partition, "offset", key, headers, payload)
    VALUES (id, command, name, description, price, expected_version,
        event_topic, event_headers, coalesce(sent_at, now()), now() + wait_us * interval '1 microsecond',
        -- This transaction has just moved the offset of its group.
        coalesce((SELECT o.consumer_group FROM cqrs.offsets o
            WHERE o.topic = apply_or_wait.topic AND o.partition = apply_or_wait.partition
            ORDER BY o.updated_at DESC LIMIT 1), ''),
        topic, partition, "offset", key, headers, payload);
    RETURN (200, 'waits for its product to be created', NULL)::cqrs.outcome;
END
$$;

-- Decides what has waited long enough as if it came now; how many there were.
CREATE FUNCTION products.expire() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    a products.aside;
    o cqrs.outcome;
    n integer := 0;
BEGIN
    FOR a IN SELECT * FROM products.aside w WHERE w.due_at <= now() ORDER BY w.due_at LIMIT 10000 LOOP
        -- First the product and then what waits for it, as who creates it does.
        PERFORM FROM products.product p WHERE p.id = a.product_id FOR UPDATE;
        DELETE FROM products.aside w WHERE w.id = a.id;
        CONTINUE WHEN NOT FOUND;
        o := products.apply(a.command, a.product_id, a.name, a.description, a.price, a.expected_version,
            a.event_topic, a.event_headers);
        IF o.status >= 400 THEN
            PERFORM products.refuse(a, o.reason || ', nor was it created while this waited');
        END IF;
        DELETE FROM products.product p WHERE p.id = a.product_id AND p.version = 0
            AND NOT EXISTS (SELECT FROM products.aside w WHERE w.product_id = p.id);
        n := n + 1;
    END LOOP;
    RETURN n;
END
$$;

-- ---- the read model ----

-- Text as search compares it, whatever the case; with ICU also of letters beyond
-- ASCII in a database with the locale C.  A sigma at the end of a word is a sigma.
DO $$
BEGIN
    EXECUTE format($f$
        CREATE FUNCTION product_view.fold(t text) RETURNS text
        LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT replace(lower(t %s), ''ς'', ''σ'')'
        $f$, CASE WHEN EXISTS (SELECT FROM pg_collation c
                WHERE c.collname = 'und-x-icu' AND c.collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding())))
            THEN 'COLLATE pg_catalog."und-x-icu"' ELSE '' END);
END
$$;

CREATE TABLE product_view.product (
    id uuid PRIMARY KEY,
    name products.name,
    description products.description,
    price products.price,
    created_at timestamptz,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    name_folded text COLLATE "C" GENERATED ALWAYS AS (product_view.fold(name)) STORED,
    description_folded text COLLATE "C" GENERATED ALWAYS AS (product_view.fold(description)) STORED,
    CHECK (num_nulls(name, description, price, created_at) = 0 OR num_nonnulls(name, description, price) = 0)
);
COMMENT ON TABLE product_view.product IS 'What events have told; without a name it was deleted, and stays so that older events are known as such';
CREATE INDEX product_name ON product_view.product (name, id) WHERE name IS NOT NULL;
CREATE INDEX product_price ON product_view.product (price, id) WHERE name IS NOT NULL;
CREATE INDEX product_created_at ON product_view.product (created_at, id) WHERE name IS NOT NULL;

DO $$
DECLARE
    operators text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
        BEGIN
            CREATE EXTENSION pg_trgm SCHEMA product_view;
        EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
            RAISE EXCEPTION 'the extension pg_trgm is needed for the search in products and cannot be created (%): '
                'install PostgreSQL''s contrib modules if it is not there, have the owner of the database or a '
                'superuser run "CREATE EXTENSION pg_trgm" in it, and migrate again', SQLERRM
                USING ERRCODE = SQLSTATE;
        END;
    END IF;
    SELECT format('%I.gin_trgm_ops', n.nspname) INTO operators
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
    EXECUTE format('CREATE INDEX product_search ON product_view.product'
        ' USING gin (name_folded %s, description_folded %s)', operators, operators);
END
$$;

-- Makes the view what an event says, unless it knows better: an event is older
-- if its version is not greater or, of a producer that has no versions, if its
-- time is not later.  Without a name the product was deleted.
CREATE FUNCTION product_view.project(
    id uuid, name text, description text, price numeric, created_at timestamptz, updated_at timestamptz,
    version bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO product_view.product AS p (id, name, description, price, created_at, updated_at, version)
    VALUES (project.id, project.name, project.description, project.price, project.created_at,
        project.updated_at, coalesce(project.version, 1))
    ON CONFLICT ON CONSTRAINT product_pkey DO UPDATE
    SET name = excluded.name, description = excluded.description, price = excluded.price,
        created_at = excluded.created_at, updated_at = excluded.updated_at,
        version = coalesce(project.version, p.version + 1)
    WHERE CASE WHEN project.version IS NULL THEN p.updated_at < excluded.updated_at
        ELSE p.version < project.version END;
    IF FOUND THEN
        PERFORM pg_notify('cqrs_changed', 'product_view:' || id); -- who keeps an answer about it
    END IF;
END
$$;

-- One page of the products with `search` in their name or description, literally
-- and whatever the case; null: of all.  The count stops at 10,000, so totalCount
-- says "so many or more" then; hasMore is right whatever the count.  order_by is
-- name, price or createdAt, with a minus from the last to the first.
CREATE FUNCTION product_view.search(search text, page integer, size integer, order_by text)
RETURNS TABLE (total_count bigint, has_more boolean, products json) LANGUAGE plpgsql STABLE AS $$
DECLARE
    pattern text := '%' || regexp_replace(product_view.fold(search), '([\\%_])', '\\\1', 'g') || '%';
    found text := ' FROM product_view.product p WHERE '
        || CASE WHEN search <> '' THEN '(p.name_folded LIKE $1 OR p.description_folded LIKE $1)'
           ELSE 'p.name IS NOT NULL' END;
    col text := CASE ltrim(order_by, '-') WHEN 'price' THEN 'price' WHEN 'createdAt' THEN 'created_at' ELSE 'name' END;
    down text := CASE WHEN order_by LIKE '-%' THEN ' DESC' ELSE '' END;
BEGIN
    EXECUTE 'SELECT count(*) FROM (SELECT' || found || ' LIMIT 10000) AS counted' INTO total_count USING pattern;
    EXECUTE format('SELECT count(*) > $3, coalesce(json_agg(json_build_object(''productId'', f.id, ''name'', f.name,'
            ' ''description'', f.description, ''price'', f.price, ''createdAt'', products.time_text(f.created_at),'
            ' ''updatedAt'', products.time_text(f.updated_at), ''version'', f.version) ORDER BY f.n)'
            ' FILTER (WHERE f.n <= $2 + $3), ''[]'')'
        ' FROM (SELECT p.*, row_number() OVER (ORDER BY p.%1$s%2$s, p.id%2$s) AS n'
        ' %3$s ORDER BY p.%1$s%2$s, p.id%2$s LIMIT $3 + 1 OFFSET $2) AS f', col, down, found)
        INTO has_more, products USING pattern, (page - 1)::bigint * size, size;
    RETURN NEXT;
END
$$;
